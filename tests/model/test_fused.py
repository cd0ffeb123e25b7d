from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hornbook.model.kernels.fused import Linear, gelu
from hornbook.model.phi import Phi, PhiConfig
from hornbook.model.plan import compile_layers

pytestmark = pytest.mark.filterwarnings("ignore")  # the compiler's own


def gradients(loss: Tensor, module: nn.Module) -> dict[str, Tensor]:
    names, parameters = zip(*module.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(loss, parameters), strict=True))


def test_compiled_they_are_torchs_own() -> None:
    torch.manual_seed(0)
    linear = Linear(16, 40)
    x = (4 * torch.randn(70, 16)).requires_grad_()
    weight = torch.randn(70, 40)
    ours = torch.compile(lambda x: gelu(linear(x)))(x)
    theirs = F.gelu(F.linear(x, linear.weight, linear.bias), approximate="tanh")
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    inputs = (x, linear.weight, linear.bias)
    for mine, reference in zip(
        torch.autograd.grad((ours * weight).sum(), inputs),
        torch.autograd.grad((theirs * weight).sum(), inputs),
        strict=True,
    ):
        torch.testing.assert_close(mine, reference, atol=1e-4, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("end_of_text", [None, 3])
def test_a_compiled_model_learns_what_the_readable_one_does(half: bool, end_of_text: int | None) -> None:
    torch.manual_seed(0)
    config = PhiConfig(
        layers=2, width=64, heads=2, mlp_width=256, vocabulary_rows=300, context_tokens=90, rotary_dims=16
    )
    plain, compiled = Phi(config).initialise(0), Phi(config).initialise(0)
    compiled.attention_blocks = 4
    compile_layers(compiled)
    tokens = torch.randint(0, 300, (3, 90))
    exact = plain.loss(tokens, end_of_text)
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        loss = compiled.loss(tokens, end_of_text)
        rounded = plain.loss(tokens, end_of_text)
    assert loss.item() == pytest.approx(exact.item(), rel=1e-3 if half else 1e-6)
    exact_gradients, rounded_gradients = gradients(exact, plain), gradients(rounded, plain)
    for name, gradient in gradients(loss, compiled).items():
        scale = exact_gradients[name].norm()
        error = (gradient - exact_gradients[name]).norm() / scale
        allowed = 1.5 * (rounded_gradients[name] - exact_gradients[name]).norm() / scale + 1e-5
        assert error <= allowed, name
