//! What must not matter: the order in which warps run, how many threads there are, where matrices start.

use kdloss::cuda::specialisation::Residency;
use kdloss::{DType, DistillationLoss, IgnoredRows, Target};

use crate::case::{Case, Layout, Table};
use crate::contract::{check, close};
use crate::cuda::executed::{Gpu, execute, run, run_in_place};
use crate::cuda::kernels;
use crate::generate::{self, Rows};
use crate::implementations::{DTYPES, Implementation};

const RESIDENCIES: [Residency; 3] = [Residency::Block, Residency::Cluster, Residency::Stream];

fn case(rows: usize, vocab: usize, dtype: DType) -> Case {
    let Rows { student, teacher, labels } = generate::rows(51, rows, vocab, 3.0);
    let loss = DistillationLoss::new().with_temperature(2.0).with_ignored_rows(IgnoredRows::Skip);
    Case::new(loss, &student, &teacher, &labels).stored_as(dtype, dtype, dtype)
}

fn check_on(gpu: Gpu, case: &Case) {
    let name = gpu.name();
    check(&Implementation { name, contract_factor: 2.0, run: Box::new(move |case| run(&gpu, case)) }, case);
}

#[test]
fn any_order_of_warps_gives_the_same_bits() {
    if !kernels::are_there() {
        return;
    }
    for residency in RESIDENCIES {
        for dtype in [DType::F32, DType::Bf16] {
            let case = case(7, 1001, dtype);
            let outcome = |seed| {
                // The noise of the approximations goes with the seed too: without it the bits are the same.
                let gpu = Gpu { seed, noise: false, threads: Some(64), ..Gpu::new(residency) };
                format!("{:?}", run(&gpu, &case).unwrap())
            };
            let first = outcome(1);
            (2..12).for_each(|seed| assert_eq!(outcome(seed), first, "{residency:?}, order {seed}"));
        }
    }
}

#[test]
fn any_number_of_threads_and_of_ctas_keeps_the_contract() {
    if !kernels::are_there() {
        return;
    }
    // Rows of 2300 elements: 288 groups of 8 or 575 of 4, so that the most threads are idle in part.
    for dtype in DTYPES {
        let case = case(5, 2300, dtype);
        for threads in [32, 64, 128, 256, 512, 1024] {
            for residency in RESIDENCIES {
                check_on(Gpu { threads: Some(threads), ..Gpu::new(residency) }, &case);
            }
        }
        for cluster in 2..=8 {
            check_on(Gpu { cluster, ..Gpu::new(Residency::Cluster) }, &case);
        }
    }
}

#[test]
fn matrices_may_start_anywhere() {
    if !kernels::are_there() {
        return;
    }
    // Starts by bytes behind a multiple of 16, and strides: rows that agree about their phase, and rows that do not.
    for dtype in DTYPES {
        let size = dtype.size();
        for (shifts, strides) in [
            ([0, 0, 0], [131, 131, 131]), // odd strides that agree: vectors, but for the first and the last
            ([1, 1, 1], [128, 136, 128]), // starts that agree
            ([3, 3, 3], [129, 137, 129]), // both
            ([0, 0, 1], [128, 128, 128]), // a gradient that does not
            ([0, 1, 0], [128, 128, 128]), // a teacher that does not
            ([5, 2, 7], [131, 133, 140]), // nothing agrees
        ] {
            let mut case = case(5, 127, dtype);
            let Rows { student, teacher, .. } = generate::rows(51, 5, 127, 3.0);
            let layout = |cols, row_stride| Layout { dtype, cols, row_stride };
            case.student = Table::of_rows(&student, layout(127, strides[0]));
            case.teacher = Some(Table::of_rows(&teacher, layout(128, strides[1])));
            case.gradient = layout(128, strides[2]);
            case.vocab = Some(127);
            for residency in RESIDENCIES {
                let misalignment = shifts.map(|shift| shift * size);
                let gpu = Gpu { misalignment, threads: Some(32), ..Gpu::new(residency) };
                let agree = shifts[0] == shifts[1] && shifts[1] == shifts[2] && strides != [131, 133, 140];
                let wide = execute(&gpu, &case, Target::Separate(())).unwrap().plan.specialisation.wide;
                assert_eq!(wide, agree, "{shifts:?} {strides:?}");
                check_on(gpu.clone(), &case);
                let in_place = move |case: &Case| run_in_place(&gpu, case);
                check(&Implementation { name: "in place", contract_factor: 2.0, run: Box::new(in_place) }, &case);
            }
        }
    }
}

#[test]
fn the_loss_alone_has_the_same_bits_as_with_any_gradient() {
    if !kernels::are_there() {
        return;
    }
    for residency in RESIDENCIES {
        for alpha in [0.0, 0.5, 1.0] {
            let mut case = case(5, 1001, DType::Bf16);
            case.loss = case.loss.with_alpha(alpha).with_temperature(3.0);
            // Cross-entropy alone needs no second pass, so it streams, in one CTA.
            if alpha == 1.0 && residency == Residency::Cluster {
                continue;
            }
            let gpu = Gpu { noise: false, threads: Some(64), ..Gpu::new(residency) };
            let value = |case: &Case, target| format!("{:?}", execute(&gpu, case, target).unwrap().read(case).unwrap());
            let alone = value(&case, Target::None);
            for dtype in DTYPES {
                case.gradient.dtype = dtype;
                let with_gradient = value(&case, Target::Separate(()));
                assert_eq!(with_gradient, alone, "{residency:?}, alpha {alpha}, gradient {dtype}");
            }
        }
    }
}

#[test]
fn sixteen_bit_gradients_are_rounded_to_nearest_even_in_every_residency() {
    if !kernels::are_there() {
        return;
    }
    for residency in RESIDENCIES {
        for logits in DTYPES {
            let mut case = case(3, 2049, logits);
            let gpu = Gpu { noise: false, ..Gpu::new(residency) };
            let mut written = |dtype| {
                case.gradient.dtype = dtype;
                run(&gpu, &case).unwrap().written.unwrap()
            };
            let exact = written(DType::F32);
            for dtype in [DType::F16, DType::Bf16] {
                let rounded = crate::case::Buffer::from_f32(
                    dtype,
                    &(0..3).flat_map(|row| exact.row(row, 2049)).collect::<Vec<_>>(),
                );
                assert_eq!(written(dtype).buffer, rounded, "{residency:?}, {logits} to {dtype}");
            }
        }
    }
}

#[test]
fn a_factor_on_the_device_is_one_of_the_hosts() {
    if !kernels::are_there() {
        return;
    }
    for residency in RESIDENCIES {
        let mut case = case(3, 1001, DType::F32);
        case.row_grad_scale = Some(vec![1.0, -3.0, 0.5]);
        let gpu = Gpu { noise: false, ..Gpu::new(residency) };
        let on_device = run(&Gpu { grad_scale: Some(-2.5), ..gpu.clone() }, &case).unwrap();
        case.loss = case.loss.with_grad_scale(-2.5);
        let on_host = run(&gpu, &case).unwrap();
        assert_eq!(on_device.value, on_host.value, "the loss has no part in it");
        let largest = on_host.gradient.iter().fold(0.0, |largest: f64, entry| largest.max(entry.abs()));
        for (got, want) in on_device.gradient.iter().zip(&on_host.gradient) {
            assert!(close(*got, *want, 1e-6 * largest), "{residency:?}: {got} is not {want}");
        }
    }
}
