"""A recipe from a TensorFlow 1 config, in torch's place: what differs, how optax spells it, and that both train alike.

Needs nothing but Ravine itself. Run: python examples/dialects.py
"""

import numpy as np

from ravine import dialects
from ravine.dialects.compare import compare

theirs = dialects.tensorflow.RMSPropOptimizer(0.045, decay=0.9, momentum=0.9, epsilon=1.0)
guess = dialects.torch.RMSprop(lr=0.045, alpha=0.9, momentum=0.9, eps=1.0)

found = compare(theirs, guess)
print(f"The obvious translation parts at step {found.effect.first}. Each difference alone, at worst, in steps:")
for difference in found.differences:
    if difference.effect is not None:
        print(f"  {difference.term}: {difference.a} against {difference.b}: {difference.effect.worst:.2f}")

for framework in dialects.FRAMEWORKS:
    print(f"{framework}: {theirs.to(framework)}")

spelled = theirs.to("optax")
again = spelled.constructor(**spelled.arguments)
x = y = np.array([1.0, -2.0])
state, other = theirs.init(x), again.init(y)
for _ in range(100):
    x, state = theirs.update(2 * x, state, x)
    y, other = again.update(2 * y, other, y)
assert np.allclose(x, y, rtol=1e-12)
print(f"After 100 steps on x² both are at {x}.")
