"""A machine in NumPy that runs PTX, so that what a GPU would be given can be held to the reference without one."""
