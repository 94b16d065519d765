"""Self-attention whose matrices are never stored: torch's fused kernels, used by all lanes at once.

`softmax(q k^T / sqrt(d)) v` (arXiv 1706.03762, eq. 1). The fused kernels have no batching rule, so that `torch.vmap`
would call them lane by lane; here lanes are folded into the batch instead.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
import torch.nn.functional as F
from timm.models.vision_transformer import Attention as TimmAttention
from torch import Tensor, nn

FUSED_FROM = 16
"""Queries of an image from which a CPU uses the fused kernel: as fast as products at 17 and at 197 tokens, and it keeps
less (benchmarks/README.md). On a GPU, where memory decides how many lanes train together, it is always used."""


class Attention(nn.Module):
    """timm's attention without a gate, for the first tokens or all of them. Modules keep their names."""

    qkv: nn.Module
    q_norm: nn.Module
    k_norm: nn.Module
    norm: nn.Module
    proj: nn.Module

    def __init__(self, attention: TimmAttention) -> None:
        super().__init__()
        for name, child in attention.named_children():
            self.add_module(name, child)
        self.num_heads, self.head_dim = attention.num_heads, attention.head_dim

    @staticmethod
    def fits(attention: nn.Module) -> bool:
        """Whether a module is the usual attention, which this one can replace."""
        return type(attention) is TimmAttention and attention.gate is None

    def forward(
        self, x: Tensor, attn_mask: None = None, is_causal: Literal[False] = False, kept: int | None = None
    ) -> Tensor:
        """Map (n, tokens, dim) to (n, kept, dim): what the first tokens make of all, or all tokens where None.

        timm's blocks name a mask, which a vision transformer has not.
        """
        n, tokens, _ = x.shape
        q, k, v = self.qkv(x).reshape(n, tokens, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4).unbind(0)
        seen = attend(self.q_norm(q[:, :, :kept]), self.k_norm(k), v)
        return self.proj(self.norm(seen.transpose(1, 2).flatten(2)))


def fused(device: torch.device, queries: int) -> bool:
    """Whether so many queries of an image are computed by the fused kernel."""
    return device.type == "cuda" or queries >= FUSED_FROM


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """What queries (n, heads, queries, d) make of keys and values (n, heads, tokens, d): (n, heads, queries, d)."""
    if fused(q.device, q.shape[-2]):
        return _Fused.apply(q, k, v)
    return _weights(q, k) @ v


def _weights(q: Tensor, k: Tensor) -> Tensor:
    """The attention of every query to every token, (n, heads, queries, tokens)."""
    return ((q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)).softmax(-1)


class _Fused(torch.autograd.Function):
    """The fused kernel with a batching rule."""

    @staticmethod
    def forward(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Plain products, which every transform of `torch.func` can follow. Under `vmap` alone it is not called."""
        (gradient,), (q, k, v) = gradients, ctx.saved_tensors
        weights = _weights(q, k)
        of_weights = gradient @ v.transpose(-2, -1)
        of_logits = weights * (of_weights - (of_weights * weights).sum(-1, keepdim=True)) * q.shape[-1] ** -0.5
        return of_logits @ k, of_logits.transpose(-2, -1) @ q, weights.transpose(-2, -1) @ gradient

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Tensor) -> tuple[Tensor, int]:
        """Lanes (L, n, ...) as images (L * n, ...): what is below this call records the kernel's own gradient."""
        lanes = [
            x.expand(info.batch_size, *x.shape) if dim is None else x.movedim(dim, 0)
            for x, dim in zip(inputs, in_dims, strict=True)
        ]
        q, k, v = (x.flatten(0, 1) for x in lanes)
        seen = _Repeatable.apply(q, k, v) if q.is_cuda else F.scaled_dot_product_attention(q, k, v)
        return seen.unflatten(0, lanes[0].shape[:2]), 0


class _Repeatable(torch.autograd.Function):
    """The fused kernel, whose gradient is the same to the bit every time.

    On a GPU its gradient adds in any order unless torch is asked for repeatable algorithms, which is a setting of the
    whole process: other operations, such as a method's own, may have none. So it is set for this gradient alone.
    """

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        with _repeatable(), torch.enable_grad():
            ctx.inner = [x.detach().requires_grad_(x.requires_grad) for x in (q, k, v)]
            ctx.outer = F.scaled_dot_product_attention(*ctx.inner)
        return ctx.outer.detach()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        asked = [x for x in ctx.inner if x.requires_grad]
        with _repeatable():
            found = iter(torch.autograd.grad(ctx.outer, asked, gradients))
        answer = tuple(next(found) if x.requires_grad else None for x in ctx.inner)
        ctx.inner = ctx.outer = None  # Or the step's tensors would live until the next one's are there too.
        return answer


@contextmanager
def _repeatable() -> Iterator[None]:
    """Within the block, torch chooses repeatable algorithms alone."""
    # Torch refuses matrix products then, unless their workspace is set; float64 has no fused kernel on a GPU.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before, warns = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warns)
