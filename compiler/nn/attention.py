"""Attention with its projections."""

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Attention"]

FORMS = ("dot", "additive")


class Attention(nn.Module):
    """Attention: ``dot`` (Vaswani et al. 2017) or ``additive`` (Bahdanau et al. 2015), one head.

    Queries, keys and values are projections ``q_proj``, ``k_proj`` and ``v_proj``; the scores are
    scaled products as in ``torch.nn.functional.scaled_dot_product_attention``, or products of
    ``energies`` with tanh(query + key). ``out_proj`` projects the weighted sum of values.

    Parameters
    ----------
    input_size : int
        Features of what asks, and of the output.
    hidden_size : int
        Features of queries, keys and values.
    form : str
        ``dot`` or ``additive``.
    causal : bool
        Each timestep attends to those up to its own; else to all of them.
    memory_size : int, optional
        Features of what is attended to; left out, ``input_size``.
    num_heads : int
        1.
    bias : bool
        Whether the projections have one.
    batch_first : bool
        As of ``torch.nn.GRU``.
    scale : float, optional
        Of the scores of ``dot``; left out, ``hidden_size ** -0.5``.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        form: str = "dot",
        causal: bool = True,
        memory_size: int | None = None,
        num_heads: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        scale: float | None = None,
    ):
        if form not in FORMS:
            raise ValueError(f"form must be one of {', '.join(FORMS)}, not {form!r}")
        if num_heads != 1:
            raise ValueError(f"num_heads must be 1, not {num_heads}")
        if scale is not None and form != "dot":
            raise ValueError("scale must be left out in the form 'additive'")
        super().__init__()
        memory_size = input_size if memory_size is None else memory_size
        self.form = form
        self.causal = causal
        self.batch_first = batch_first
        self.scale = scale
        self.q_proj = nn.Linear(input_size, hidden_size, bias)
        self.k_proj = nn.Linear(memory_size, hidden_size, bias)
        self.v_proj = nn.Linear(memory_size, hidden_size, bias)
        self.out_proj = nn.Linear(hidden_size, input_size, bias)
        if form == "additive":
            self.energies = nn.Parameter(torch.empty(hidden_size))
            nn.init.uniform_(self.energies, -(hidden_size**-0.5), hidden_size**-0.5)
        else:
            self.register_parameter("energies", None)

    def forward(self, query: Tensor, memory: Tensor | None = None) -> Tensor:
        """What each query finds: a tensor of the shape of ``query``.

        ``query`` and ``memory`` are (batch, time, features), or (time, batch, features) without
        ``batch_first``. Without ``memory`` the query attends to itself.
        """
        memory = query if memory is None else memory
        if not self.batch_first:
            query, memory = query.transpose(0, 1), memory.transpose(0, 1)
        if self.causal and query.shape[1] != memory.shape[1]:
            raise ValueError(
                f"query and memory must have the same timesteps where attention is causal, "
                f"not {query.shape[1]} and {memory.shape[1]}"
            )
        q, k, v = self.q_proj(query), self.k_proj(memory), self.v_proj(memory)
        if self.energies is None:
            found = functional.scaled_dot_product_attention(
                q, k, v, is_causal=self.causal, scale=self.scale
            )
        else:
            scores = torch.tanh(q[:, :, None] + k[:, None]) @ self.energies
            if self.causal:
                later = torch.ones_like(scores, dtype=torch.bool).triu(1)
                scores = scores.masked_fill(later, -torch.inf)
            found = scores.softmax(dim=2) @ v
        output = self.out_proj(found)
        return output if self.batch_first else output.transpose(0, 1)
