//! What is refused becomes an error that says who refused it, never a panic; what can go on goes on.

use kdloss::cuda::{Batch, Kernels, Matrix, MatrixMut, Workspace, nvrtc, raw};
use kdloss::external::cudarc::driver::sys::CUresult;
use kdloss::{DistillationLoss, Error, Target};

use super::support::{H100, OWN, ROWS, Small, VOCAB, address, context, fail, fail_execution, kernels, loss};

#[test]
fn memory_that_does_not_suffice() {
    let context = context(H100);
    let (kernels, stream) = (kernels(&context), context.default_stream());
    let operation = "allocate a workspace";
    for nth in [1, 2] {
        fail("cuMemAllocAsync", nth, CUresult::CUDA_ERROR_OUT_OF_MEMORY);
        assert_eq!(Workspace::new(&stream).err(), Some(Error::OutOfMemory { operation }));
    }
    let (mut small, mut workspace) = (Small::new(&stream, 40), Workspace::new(&stream).unwrap());
    fail("cuMemAllocAsync", 1, CUresult::CUDA_ERROR_OUT_OF_MEMORY);
    assert_eq!(small.launch(&kernels, &stream, &mut workspace), Err(Error::OutOfMemory { operation }));
    small.launch(&kernels, &stream, &mut workspace).unwrap();
    small.check(&stream, &workspace, 40);
}

#[test]
fn a_launch_that_the_driver_refuses() {
    let context = context(H100);
    let (kernels, stream) = (kernels(&context), context.default_stream());
    let (mut small, mut workspace) = (Small::new(&stream, 41), Workspace::new(&stream).unwrap());
    fail("cuLaunchKernel", 1, CUresult::CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES);
    let error = small.launch(&kernels, &stream, &mut workspace).unwrap_err();
    let Error::Device { operation: "launch the kernel", message } = error else { panic!("{error}") };
    assert!(message.starts_with("CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES"), "{message}");
    assert_eq!(workspace.read().err(), Some(Error::NothingComputed));
    small.launch(&kernels, &stream, &mut workspace).unwrap();
    small.check(&stream, &workspace, 41);
}

#[test]
fn a_kernel_that_fails_loses_the_device() {
    for (gpu, code) in [(OWN[0], CUresult::CUDA_ERROR_ILLEGAL_ADDRESS), (OWN[1], CUresult::CUDA_ERROR_LAUNCH_FAILED)] {
        let context = context(gpu);
        let (kernels, stream) = (kernels(&context), context.default_stream());
        let (mut small, mut workspace) = (Small::new(&stream, 42), Workspace::new(&stream).unwrap());
        fail_execution(code);
        small.launch(&kernels, &stream, &mut workspace).unwrap();
        for _ in 0..2 {
            let error = workspace.read().unwrap_err();
            assert!(matches!(error, Error::DeviceLost { .. }), "{error}");
        }
    }
}

#[test]
fn everything_must_be_of_one_context() {
    let (ours, theirs) = (context(H100), context(OWN[2]));
    let (kernels, stream, their_stream) = (kernels(&ours), ours.default_stream(), theirs.default_stream());
    let (mut small, mut their_small) = (Small::new(&stream, 43), Small::new(&their_stream, 43));
    let (mut workspace, mut their_workspace) =
        (Workspace::new(&stream).unwrap(), Workspace::new(&their_stream).unwrap());
    let other = |part| Err(Error::OtherContext { part });
    assert_eq!(small.launch(&kernels, &their_stream, &mut workspace), other("stream"));
    assert_eq!(small.launch(&kernels, &stream, &mut their_workspace), other("workspace"));
    assert_eq!(their_small.launch(&kernels, &stream, &mut workspace), other("student"));
    std::mem::swap(&mut small.gradient, &mut their_small.gradient);
    assert_eq!(small.launch(&kernels, &stream, &mut workspace), other("gradient"));
    std::mem::swap(&mut small.gradient, &mut their_small.gradient);
    std::mem::swap(&mut small.labels, &mut their_small.labels);
    assert_eq!(small.launch(&kernels, &stream, &mut workspace), other("labels"));
    std::mem::swap(&mut small.labels, &mut their_small.labels);
    small.launch(&kernels, &stream, &mut workspace).unwrap();
    small.check(&stream, &workspace, 43);
}

#[test]
fn a_workspace_belongs_to_its_stream() {
    let context = context(H100);
    let (kernels, stream) = (kernels(&context), context.default_stream());
    let mut workspace = Workspace::new(&context.new_stream().unwrap()).unwrap();
    assert_eq!(Small::new(&stream, 44).launch(&kernels, &stream, &mut workspace), Err(Error::OtherStream));
    assert_eq!(workspace.read().err(), Some(Error::NothingComputed));
}

#[test]
fn slices_that_are_too_short() {
    let context = context(H100);
    let (kernels, stream) = (kernels(&context), context.default_stream());
    let (mut small, mut workspace) = (Small::new(&stream, 45), Workspace::new(&stream).unwrap());
    let batch = Batch::new(Matrix::new(small.student.slice(1..), ROWS, VOCAB));
    let hard = DistillationLoss::new().with_alpha(1.0);
    let error = kernels.launch_forward(&stream, &mut workspace, &hard, &batch.with_labels(&small.labels)).unwrap_err();
    assert!(matches!(error, Error::BufferTooShort { matrix: "student", len: 2999, needed: 3000, .. }), "{error}");
    let batch = Batch::new(Matrix::new(&small.student, ROWS, VOCAB)).with_labels(small.labels.slice(1..));
    let error = kernels.launch_forward(&stream, &mut workspace, &hard, &batch).unwrap_err();
    assert_eq!(error, Error::RowCountMismatch { part: "labels", expected: 3, found: 2 });
    let batch = Batch::new(Matrix::new(&small.student, ROWS, VOCAB)).with_labels(&small.labels);
    let mut gradient = MatrixMut::new(small.gradient.slice_mut(..10), ROWS, VOCAB);
    let error = kernels.launch_forward_backward(&stream, &mut workspace, &hard, &batch, &mut gradient).unwrap_err();
    assert!(matches!(error, Error::BufferTooShort { matrix: "gradient", .. }), "{error}");
}

#[test]
fn a_gradient_by_address_overlaps_nothing_that_is_read() {
    let context = context(H100);
    let (kernels, stream) = (kernels(&context), context.default_stream());
    let (small, mut workspace) = (Small::new(&stream, 46), Workspace::new(&stream).unwrap());
    let (student, teacher) = (address(&stream, &small.student), address(&stream, &small.teacher));
    let labels = {
        use kdloss::external::cudarc::driver::DevicePtr;
        small.labels.device_ptr(&stream).0
    };
    let gradient = address(&stream, &small.gradient);
    let batch =
        raw::Batch::new(student).with_teacher(teacher).with_labels(raw::Labels::i64(labels, small.labels.len()));
    let mut launch_batch = |batch: raw::Batch, gradient: raw::Matrix| {
        // SAFETY: the addresses are those of live slices; whatever overlaps is refused, which is the point.
        unsafe { kernels.launch_raw(&stream, &mut workspace, &loss(), &batch, Target::Separate(gradient)) }
    };
    let aliased = |written, other| Err(Error::BufferAliased { written, other });
    let last = gradient.address + 4 * (ROWS * VOCAB - 1) as u64;
    let with_factors = batch.with_row_grad_scale(last, ROWS);
    assert_eq!(launch_batch(with_factors, gradient), aliased("gradient", "row_grad_scale"));
    assert_eq!(launch_batch(batch.with_grad_scale(last), gradient), aliased("gradient", "grad_scale"));
    let mut launch = |gradient| launch_batch(batch, gradient);
    assert_eq!(launch(teacher), aliased("gradient", "teacher"));
    let mut shifted = student;
    shifted.address += 4;
    assert_eq!(launch(shifted), aliased("gradient", "student"));
    shifted.address = labels;
    assert_eq!(launch(shifted), aliased("gradient", "labels"));
    launch(student).unwrap();
    let written = stream.clone_dtoh(&small.student).unwrap();
    super::support::check(&workspace.read().unwrap(), &written, 46);
}

#[test]
fn what_the_compiler_refuses_comes_with_its_log() {
    let error = nvrtc::compile_source("__global__ void broken() { nonsense; }", &[], "sm_90").unwrap_err();
    let Error::CompileFailed { architecture, log } = &error else { panic!("{error}") };
    assert_eq!(architecture, "sm_90");
    assert!(log.contains("nonsense") && error.to_string().contains("nonsense"), "{log}");
}

#[test]
fn a_driver_that_takes_nothing_the_compiler_makes_is_too_old() {
    let context = context(H100);
    let (kernels, stream): (Kernels, _) = (kernels(&context), context.default_stream());
    let (mut small, mut workspace) = (Small::new(&stream, 47), Workspace::new(&stream).unwrap());
    fail("cuModuleLoadData", 1, CUresult::CUDA_ERROR_UNSUPPORTED_PTX_VERSION);
    let error = small.launch(&kernels, &stream, &mut workspace).unwrap_err();
    assert!(matches!(error, Error::OldDriver { .. }), "{error}");
    assert!(error.to_string().contains("KDLOSS_NVRTC"), "{error}");
    small.launch(&kernels, &stream, &mut workspace).unwrap();
    small.check(&stream, &workspace, 47);
}

#[test]
fn there_is_no_gpu_of_that_number() {
    context(H100);
    let Err(Error::NoDevice { wanted, found }) = kdloss::cuda::context(99) else { panic!("GPU 99 is there") };
    assert_eq!(wanted, "GPU 99");
    assert!(found.contains("0 (Mock"), "{found}");
}
