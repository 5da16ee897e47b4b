"""An optimizer of your own in ten lines: all engines, front ends and comparisons take it as it is.

Run it:      python examples/my_rule.py
See it:      ravine explain examples/my_rule.py:adabound
Compare it:  ravine compare --optimizers adam,momentum,examples/my_rule.py:adabound
"""

import ravine
from ravine.math import debias, ema, ema_square, maximum, minimum, sqrt


@ravine.rule(title="Adam with bounded steps", paper="after Luo et al. 2019, arXiv:1902.09843")
def adabound(g, m, v, *, t, lr=0.001, beta1=0.9, beta2=0.999, eps=1e-8, final_lr=0.1):
    """Adam whose per-coordinate learning rates are squeezed between two bounds that meet at `final_lr`."""
    m = ema(m, g, beta1)
    v = ema_square(v, g, beta2)
    rate = lr / (sqrt(debias(v, beta2, t)) + eps)
    lower, upper = final_lr * (1 - 1 / (0.001 * t + 1)), final_lr * (1 + 1 / (0.001 * t))
    return -minimum(maximum(rate, lower), upper) * debias(m, beta1, t), m, v


def main() -> None:
    """Train a small torch model with the new rule, on the fused CPU engine."""
    import torch

    torch.manual_seed(0)
    x = torch.randn(256, 8)
    y = torch.sin(x.sum(dim=1, keepdim=True))
    model = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.Tanh(), torch.nn.Linear(32, 1))
    optimizer = ravine.recipe(adabound, lr=0.01).torch(model.parameters())
    for epoch in range(301):
        loss = torch.nn.functional.mse_loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if epoch % 100 == 0:
            print(f"epoch {epoch:3d}  loss {loss.item():.4f}")


if __name__ == "__main__":
    main()
