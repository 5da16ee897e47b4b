"""Minimize a function of a NumPy array, and see where each optimizer went."""

import numpy as np

import ravine


def rosenbrock(x: np.ndarray) -> float:
    """A long bent valley with its minimum at (1, 1)."""
    return float((1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2)


def gradient(x: np.ndarray) -> np.ndarray:
    """Its gradient."""
    bend = x[1] - x[0] ** 2
    return np.array([-2 * (1 - x[0]) - 400 * x[0] * bend, 200 * bend])


for method, lr in {"gd": 0.001, "momentum": 0.001, "nesterov": 0.001, "rmsprop": 0.01, "adam": 0.02}.items():
    result = ravine.minimize(rosenbrock, [-1.0, 1.0], method, jac=gradient, steps=2000, lr=lr)
    print(f"{method:10s} f = {result.fun:.2e} at {np.round(result.x, 3)} after {result.nit} steps")
