//! What the CPU path allocates, counted: nothing of the size of the logits. A thread keeps two `f32` numbers for each element of a
//! row (three if T is not 1, 2 or 4) until the row's gradient is written. The loss alone keeps nothing.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use half::bf16;
use kdloss::{Batch, DistillationLoss, Matrix, MatrixMut, cpu};

/// The system's allocator, which also keeps the most bytes in use at once.
struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is handed to the system's allocator unchanged; only counters are added.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let in_use = IN_USE.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST.fetch_max(in_use, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most bytes that `run` has in use at once, beyond what was in use before.
fn extra_bytes(run: impl FnOnce()) -> usize {
    let before = IN_USE.load(Ordering::Relaxed);
    MOST.store(before, Ordering::Relaxed);
    run();
    MOST.load(Ordering::Relaxed) - before
}

// One test, since the counters are the process's.
#[test]
fn extra_memory_at_128_rows_of_151_936() {
    const ROWS: usize = 128;
    const VOCAB: usize = 151_936;
    let threads = rayon::current_num_threads();
    let loss = DistillationLoss::new();
    let labels: Vec<i64> = (0..ROWS as i64).collect();
    let mut student = vec![0.25f32; ROWS * VOCAB];
    let teacher = vec![bf16::ONE; ROWS * VOCAB];
    let mut gradient = vec![bf16::ZERO; ROWS * VOCAB];

    let teacher = Matrix::new(&teacher, ROWS, VOCAB);
    let batch = Batch::new(Matrix::new(&student, ROWS, VOCAB)).with_teacher(teacher).with_labels(&labels);
    let both = extra_bytes(|| {
        cpu::forward_backward(&loss, &batch, &mut MatrixMut::new(&mut gradient, ROWS, VOCAB)).unwrap();
    });
    let forward = extra_bytes(|| drop(cpu::forward(&loss, &batch).unwrap()));
    let in_place = extra_bytes(|| {
        let student = MatrixMut::new(&mut student, ROWS, VOCAB);
        let mut batch = Batch::new(student).with_teacher(teacher).with_labels(&labels);
        cpu::forward_backward_in_place(&loss, &mut batch).unwrap();
    });
    let a_row = extra_bytes(|| drop(vec![0.25f32; VOCAB]));
    assert!(a_row >= VOCAB * 4, "the allocator does not count");
    let kept = threads * 2 * VOCAB * 4;
    for (what, bytes, kept) in
        [("forward and backward", both, kept), ("forward", forward, 0), ("in place", in_place, kept)]
    {
        println!("{what}: {bytes} bytes beyond inputs and gradient on {threads} threads");
        assert!((1..kept + (1 << 20)).contains(&bytes), "{what} took {bytes} bytes");
    }
}
