"""What PyTorch answers for the two scripts that everybody starts from, in f64, as scripts.json.

    pip install torch numpy
    python tests/data/make_scripts.py > tests/data/scripts.json
"""

import json

import torch
import torch.nn as nn
import torch.nn.functional as F


class ClassicDistillation(nn.Module):
    """The classifier's loss: T = 4, half cross-entropy, half KL divergence averaged over the batch."""

    def __init__(self, temperature=4.0, alpha=0.5):
        super().__init__()
        self.temperature, self.alpha = temperature, alpha
        self.cross_entropy = nn.CrossEntropyLoss()
        self.divergence = nn.KLDivLoss(reduction="batchmean")

    def forward(self, student, teacher, labels):
        log_q = F.log_softmax(student / self.temperature, dim=-1)
        p = F.softmax(teacher / self.temperature, dim=-1)
        soft = self.divergence(log_q, p) * self.temperature**2
        return self.alpha * self.cross_entropy(student, labels) + (1 - self.alpha) * soft


def language_model_distillation(student, teacher, labels, temperature=2.0, alpha=0.5):
    """The language model's: logits [batch, seq, vocab]; `batchmean` divides by the size of the first dimension."""
    log_q = F.log_softmax(student / temperature, dim=-1)
    p = F.softmax(teacher / temperature, dim=-1)
    soft = F.kl_div(log_q, p, reduction="batchmean") * temperature**2
    hard = F.cross_entropy(student.view(-1, student.size(-1)), labels.view(-1), ignore_index=-100)
    return alpha * soft + (1 - alpha) * hard


def answer(loss, student, teacher, labels):
    student = student.double().requires_grad_()
    value = loss(student, teacher.double(), labels)
    value.backward()
    return {
        "shape": list(student.shape),
        "student": student.detach().flatten().tolist(),
        "teacher": teacher.double().flatten().tolist(),
        "labels": labels.flatten().tolist(),
        "loss": value.item(),
        "gradient": student.grad.flatten().tolist(),
    }


torch.manual_seed(0)
classic_labels = torch.randint(0, 10, (6,))
classic_labels[4] = -100
model_labels = torch.randint(0, 23, (3, 5))
model_labels[:, :2] = -100
flat = lambda student, teacher, labels: language_model_distillation(
    student.view(-1, student.size(-1)), teacher.view(-1, teacher.size(-1)), labels.view(-1)
)
model_student, model_teacher = 3 * torch.randn(3, 5, 23), 3 * torch.randn(3, 5, 23)
print(
    json.dumps(
        {
            "torch": torch.__version__,
            "classic": answer(ClassicDistillation(), 3 * torch.randn(6, 10), 3 * torch.randn(6, 10), classic_labels),
            "language_model": answer(language_model_distillation, model_student, model_teacher, model_labels),
            "language_model_flattened": answer(flat, model_student, model_teacher, model_labels),
        }
    )
)
