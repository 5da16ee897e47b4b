"""The lab: fair comparisons. A task, a protocol, records of runs, and a report made from the records alone."""

from ravine.lab.task import Data, Task, share_correct

__all__ = ["Data", "Task", "share_correct"]
