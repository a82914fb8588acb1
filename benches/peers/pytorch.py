"""The same loss in PyTorch, eager and compiled, a round at a time, so that others can take turns with it.

Reads lines from stdin. `load ROWS VOCAB DTYPE` makes the logits, `eager` and `compiled` compute loss and gradient once and
print how many milliseconds that took. `cargo run --release -p kdloss-peers -- measure --python PYTHON` speaks to it.

    python3 -m venv target/peers && target/peers/bin/pip install torch==2.15.0 numpy

THP_MEM_ALLOC_ENABLE=1 MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=17179869184 let the allocator keep large temporaries;
without them most of the time goes into page faults.
"""

import sys
import time

import torch
import torch.nn.functional as F

TEMPERATURE, ALPHA = 2.0, 0.5
DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}


def distillation(student, teacher, labels):
    student, teacher = student.float(), teacher.float()
    log_q = F.log_softmax(student / TEMPERATURE, dim=-1)
    log_p = F.log_softmax(teacher / TEMPERATURE, dim=-1)
    soft = F.kl_div(log_q, log_p, reduction="batchmean", log_target=True) * TEMPERATURE**2
    return ALPHA * F.cross_entropy(student, labels) + (1 - ALPHA) * soft


def load(rows, vocab, dtype):
    logits = lambda: (12 * torch.rand(rows, vocab) - 6).to(DTYPES[dtype])
    return logits().requires_grad_(), logits(), torch.arange(rows)


def timed(loss, student, teacher, labels):
    student.grad = None
    start = time.perf_counter()
    loss(student, teacher, labels).backward()
    return 1e3 * (time.perf_counter() - start)


functions = {"eager": distillation, "compiled": torch.compile(distillation)}
tensors = None
print(f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads", flush=True)
for line in sys.stdin:
    command, *arguments = line.split()
    if command == "load":
        rows, vocab, dtype = arguments
        tensors = load(int(rows), int(vocab), dtype)
        print("loaded", flush=True)
    else:
        print(timed(functions[command], *tensors), flush=True)
