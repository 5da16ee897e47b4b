"""A method of matrices of your own in ten lines: it trains fused, prints its equation and is compared.

Run it:      python examples/my_matrix_rule.py
See it:      ravine explain examples/my_matrix_rule.py:row_sign
Compare it:  ravine compare --optimizers adam,muon-set,examples/my_matrix_rule.py:row_sign
"""

import ravine
from ravine.math import ema, maximum, norm, sign


@ravine.rule(title="Sign of the row-normalised momentum")
def row_sign(g, m, *, lr=0.001, beta=0.9, eps=1e-12):
    """Each row of the gradient counts alike in the average, whose signs are the step."""
    m = ema(m, g / maximum(norm(g, axis=1), eps), beta)
    return -lr * sign(m), m


def main() -> None:
    """Train a small torch model with the new rule, on the fused CPU engine."""
    import torch

    from ravine.trace import text

    print(text.equation(row_sign))
    torch.manual_seed(0)
    x = torch.randn(256, 8)
    y = torch.sin(x.sum(dim=1, keepdim=True))
    model = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.Tanh(), torch.nn.Linear(32, 1))
    optimizer = ravine.recipe(row_sign).torch(model.parameters())
    for epoch in range(301):
        loss = torch.nn.functional.mse_loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if epoch % 100 == 0:
            print(f"epoch {epoch:3d}  loss {loss.item():.4f}")


if __name__ == "__main__":
    main()
