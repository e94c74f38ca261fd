"""The GAN's losses: the relativistic pairing loss with zero-centered penalties on real and on generated crops.

R3GAN (Huang et al. 2024, arXiv 2501.05441), f(t) = -log(1 + e^-t):
    eq. 2  L(θ, ψ) = E[f(D(G(z)) - D(x))]     RpGAN: every fake is judged against a real one, so no mode can be left out
    eq. 4  R1 = γ/2 · E ||∇x D(x)||²  on real x (Mescheder et al. 2018, arXiv 1801.04406, eq. 9)
    eq. 5  R2 = γ/2 · E ||∇x D(x)||²  on generated x
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Mean of softplus(D(fake) - D(real)) over pairs of one class."""
    return F.softplus(fake_logits - real_logits).mean()


def generator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Mean of softplus(D(real) - D(fake)): the same game, the other side."""
    return F.softplus(real_logits - fake_logits).mean()


def gradient_penalties(logits: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
    """R1 and R2 of a batch whose first half is real and whose second half is generated, in one pass."""
    real, fake = _squared_gradients(logits, images).chunk(2)
    return real.mean() / 2, fake.mean() / 2


def gradient_penalty(logits: Tensor, crops: Tensor) -> Tensor:
    """E ||∇x D(x)||² / 2; `crops` must require gradients. R1 on real crops, R2 on generated ones.

    (N,) logits, or (N, P) of patches, whose mean is then D(x).
    """
    return _squared_gradients(logits, crops).mean() / 2


def _squared_gradients(logits: Tensor, images: Tensor) -> Tensor:
    """(N,): ||∇x D(x)||² of each image."""
    judged = logits.reshape(len(logits), -1).mean(dim=1)
    (gradient,) = torch.autograd.grad(judged.sum(), images, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3))
