"""The same loss in PyTorch, eager, forward and backward, at f32 128 x 151936; prints the median and the extremes.

    pip install torch==2.15.0 numpy
    THP_MEM_ALLOC_ENABLE=1 MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=17179869184 python benches/peers/pytorch.py

The variables let the allocator keep the large temporaries; without them most of the time goes into page faults.
"""

import statistics
import time

import torch
import torch.nn.functional as F

ROWS, VOCAB, TEMPERATURE, ALPHA = 128, 151936, 2.0, 0.5


def distillation(student, teacher, labels):
    log_q = F.log_softmax(student / TEMPERATURE, dim=-1)
    log_p = F.log_softmax(teacher / TEMPERATURE, dim=-1)
    soft = F.kl_div(log_q, log_p, reduction="batchmean", log_target=True) * TEMPERATURE**2
    return ALPHA * F.cross_entropy(student, labels) + (1 - ALPHA) * soft


student = (12 * torch.rand(ROWS, VOCAB) - 6).requires_grad_()
teacher, labels = 12 * torch.rand(ROWS, VOCAB) - 6, torch.arange(ROWS)
times = []
for _ in range(25):
    student.grad = None
    start = time.perf_counter()
    distillation(student, teacher, labels).backward()
    times.append(1e3 * (time.perf_counter() - start))
times = sorted(times[5:])
print(f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads: "
      f"median {statistics.median(times):.1f} ms, {times[0]:.1f} to {times[-1]:.1f} ms")
