"""The last block of a transformer whose head sees the class token alone."""

from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn

from benchmark.models.attention import Attention
from benchmark.models.lora import Adaptation


class LastBlock(nn.Module):
    """A transformer's last block, computed for the class token where nobody asks for more.

    A trace is of all tokens, and a route reads their mean. The class token attends to all tokens, so their keys and
    values are needed; their own queries, projections and MLPs change no feature. Without them the block costs a
    quarter. Modules keep their names. The attention of timm's block is ours.
    """

    norm1: nn.Module
    attn: Attention
    ls1: nn.Module
    norm2: nn.Module
    mlp: nn.Module
    ls2: nn.Module

    def __init__(self, block: Block, adaptation: Adaptation) -> None:
        super().__init__()
        for name, child in block.named_children():
            self.add_module(name, child)
        self.adaptation = adaptation

    @staticmethod
    def fits(vit: VisionTransformer) -> bool:
        """Whether a transformer's features are its class token, and its last block is the usual one."""
        last = vit.blocks[-1]
        plain = type(last) is Block and isinstance(last.attn, Attention)
        return plain and vit.global_pool == "token" and vit.attn_pool is None and vit.has_class_token

    def forward(self, x: Tensor) -> Tensor:
        """Map all tokens (n, tokens, dim) to the class token (n, 1, dim), or to all of them for a trace or a route."""
        kept = 1 if self.adaptation.trace is None and self.adaptation.route is None else x.shape[1]
        x = x[:, :kept] + self.ls1(self.attn(self.norm1(x), kept=kept))
        return x + self.ls2(self.mlp(self.norm2(x)))
