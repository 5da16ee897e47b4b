"""Machine code that steps a group if its parameters, gradients and state are still what a plan took them for.

It walks torch's and Python's objects by their addresses, so that no Python object is made and none is asked: 2,000
tensors at about 25 ns each, where passes of built-in functions over lists take 200. It starts from what is alive (the
list of parameters and the state of the optimizer, held by the caller) and follows what it finds there, never an address
that was noted before: those are compared only. It looks and steps with the interpreter lock held, so that no other
thread can take away in between what was looked at.

What is asked of torch are functions that it exports (most of them from the C shim that is promised to stay). Two facts
have no function: where a Python tensor has its `at::Tensor`, and where that has its set of dispatch keys, which says
all of device, layout, conjugation, and whether some subclass or transform wants to be asked. They are found out by
trial (`abi.py`).
"""

from __future__ import annotations

import re
from string import Template

from ravine.engines.fused.storage import ADDRESSES, COEFFICIENTS, LAUNCH
from ravine.torch import walk_ahead
from ravine.torch.abi import BUMP, GRAD

# A row for each parameter of the group: which object; where the state has it and its own dictionary (0: no state); how
# many entries of that to look at, and where they are described; what kind of tensor the parameter and its gradient are;
# its row of the kernel's table (0: the plan doesn't know the parameter, which is not to have a gradient); how many
# lines of memory to have fetched for it, and where they are noted (`walk_ahead.py`).
PARAMETER, PLACE, OWN, ENTRIES, ENTRY, KIND, GRADIENT_KIND, CELLS, HINTS, HINT = range(10)
COLUMNS = 10

# An entry of a parameter's state: the key's object; the kind of tensor (0: whatever it is); the table's column of it.
KEY, ENTRY_KIND, COLUMN = range(3)
ENTRY_COLUMNS = 3

# A kind of tensor: the type object (0 for gradients, which have none), the dispatch keys, torch's number of the type of
# elements, the number of dimensions, then the sizes, then the strides.
TYPE, KEYS, ELEMENTS, DIMENSIONS, SIZES = range(5)

SOURCE = Template("""\
declare i64 @PyList_Size(ptr)
declare ptr @PyList_GetItem(ptr, i64)
declare i32 @PyDict_Next(ptr, ptr, ptr, ptr)
declare ptr @$grad(ptr)
declare void @$bump(ptr)
declare i32 @aoti_torch_get_dtype(ptr, ptr)
declare i32 @aoti_torch_get_dim(ptr, ptr)
declare i32 @aoti_torch_get_sizes(ptr, ptr)
declare i32 @aoti_torch_get_strides(ptr, ptr)
declare i32 @aoti_torch_get_data_ptr(ptr, ptr)

; Whether a tensor is of a kind; then where its elements lie is written to %address.
define internal i1 @is_like(ptr %tensor, ptr %kind, ptr %address) {
entry:
  %word = alloca i64
  store i64 0, ptr %word
  %impl = load ptr, ptr %tensor
  %keys.at = getelementptr i8, ptr %impl, i64 $keys_offset
  %keys = load i64, ptr %keys.at
  %known.keys = load i64, ptr %kind[$KEYS]
  %same.keys = icmp eq i64 %keys, %known.keys
  br i1 %same.keys, label %typed, label %no
typed:
  %failed.type = call i32 @aoti_torch_get_dtype(ptr %tensor, ptr %word)
  %type = load i64, ptr %word
  %known.type = load i64, ptr %kind[$ELEMENTS]
  %same.type = icmp eq i64 %type, %known.type
  br i1 %same.type, label %shaped, label %no
shaped:
  %failed.dim = call i32 @aoti_torch_get_dim(ptr %tensor, ptr %word)
  %dim = load i64, ptr %word
  %known.dim = load i64, ptr %kind[$DIMENSIONS]
  %same.dim = icmp eq i64 %dim, %known.dim
  br i1 %same.dim, label %sized, label %no
sized:
  %failed.sizes = call i32 @aoti_torch_get_sizes(ptr %tensor, ptr %word)
  %sizes = load ptr, ptr %word
  %failed.strides = call i32 @aoti_torch_get_strides(ptr %tensor, ptr %word)
  %strides = load ptr, ptr %word
  %known.sizes = getelementptr i64, ptr %kind, i64 $SIZES
  %known.strides = getelementptr i64, ptr %known.sizes, i64 %dim
  br label %dimension
dimension:
  %d = phi i64 [ 0, %sized ], [ %d.next, %same ]
  %is.dimension = icmp slt i64 %d, %dim
  br i1 %is.dimension, label %compare, label %yes
compare:
  %size.at = getelementptr i64, ptr %sizes, i64 %d
  %size = load i64, ptr %size.at
  %known.size.at = getelementptr i64, ptr %known.sizes, i64 %d
  %known.size = load i64, ptr %known.size.at
  %same.size = icmp eq i64 %size, %known.size
  %stride.at = getelementptr i64, ptr %strides, i64 %d
  %stride = load i64, ptr %stride.at
  %known.stride.at = getelementptr i64, ptr %known.strides, i64 %d
  %known.stride = load i64, ptr %known.stride.at
  %same.stride = icmp eq i64 %stride, %known.stride
  %same.both = and i1 %same.size, %same.stride
  br i1 %same.both, label %same, label %no
same:
  %d.next = add i64 %d, 1
  br label %dimension
yes:
  %failed.address = call i32 @aoti_torch_get_data_ptr(ptr %tensor, ptr %address)
  %is.there = icmp eq i32 %failed.address, 0
  ret i1 %is.there
no:
  ret i1 false
}

; Whether a Python object is a tensor of a kind whose elements lie where the table says.
define internal i1 @is_kept(ptr %object, ptr %kind, ptr %cell) {
entry:
  %address = alloca i64
  %type.at = getelementptr i8, ptr %object, i64 $type_offset
  %type = load i64, ptr %type.at
  %known.type = load i64, ptr %kind
  %same.type = icmp eq i64 %type, %known.type
  br i1 %same.type, label %tensor, label %no
tensor:
  %handle = getelementptr i8, ptr %object, i64 $tensor_offset
  %like = call i1 @is_like(ptr %handle, ptr %kind, ptr %address)
  br i1 %like, label %placed, label %no
placed:
  %found = load i64, ptr %address
  %known = load i64, ptr %cell
  %same = icmp eq i64 %found, %known
  ret i1 %same
no:
  ret i1 false
}

; Whether all is as it was; then the tables have the addresses of the present gradients.
define internal i1 @look(ptr %params, ptr %state, ptr %rows, i64 %n, ptr %undefined) {
entry:
  %place = alloca i64
  %key.at = alloca ptr
  %value.at = alloca ptr
  %length = call i64 @PyList_Size(ptr %params)
  %same.length = icmp eq i64 %length, %n
  br i1 %same.length, label %parameter, label %no
parameter:
  %i = phi i64 [ 0, %entry ], [ %i.next, %next ]
  %is.parameter = icmp slt i64 %i, %n
  br i1 %is.parameter, label %ahead, label %yes
ahead:
  %i.block = and i64 %i, $BLOCK_MASK
  %is.block = icmp eq i64 %i.block, 0
  br i1 %is.block, label %fetched, label %identity
fetched:
  call void @fetch(ptr %params, ptr %rows, i64 %i, i64 %n)
  br label %identity
identity:
  %row.word = mul i64 %i, $COLUMNS
  %row = getelementptr i64, ptr %rows, i64 %row.word
  %p = call ptr @PyList_GetItem(ptr %params, i64 %i)
  %known.p = load ptr, ptr %row
  %same.p = icmp eq ptr %p, %known.p
  br i1 %same.p, label %gradient, label %no
gradient:
  %p.tensor = getelementptr i8, ptr %p, i64 $tensor_offset
  %p.impl = load ptr, ptr %p.tensor
  %g = call ptr @$grad(ptr %p.impl)
  %g.impl = load ptr, ptr %g
  %has.none = icmp eq ptr %g.impl, %undefined
  %cells = load ptr, ptr %row[$CELLS]
  %is.known = icmp ne ptr %cells, null
  br i1 %is.known, label %member, label %stranger
stranger:
  br i1 %has.none, label %next, label %no
member:
  %which = select i1 %has.none, i64 -1, i64 0
  %which.at = getelementptr i64, ptr %cells, i64 $COEFFICIENTS
  store i64 %which, ptr %which.at
  br i1 %has.none, label %next, label %some
some:
  %g.kind = load ptr, ptr %row[$GRADIENT_KIND]
  %g.cell = getelementptr i64, ptr %cells, i64 $G
  %g.like = call i1 @is_like(ptr %g, ptr %g.kind, ptr %g.cell)
  br i1 %g.like, label %itself, label %no
itself:
  %kind = load ptr, ptr %row[$KIND]
  %p.cell = getelementptr i64, ptr %cells, i64 $X
  %p.kept = call i1 @is_kept(ptr %p, ptr %kind, ptr %p.cell)
  br i1 %p.kept, label %remembered, label %no
remembered:
  %known.own = load ptr, ptr %row[$OWN]
  %has.state = icmp ne ptr %known.own, null
  br i1 %has.state, label %own, label %next
own:
  %place.start = load i64, ptr %row[$PLACE]
  store i64 %place.start, ptr %place
  store ptr null, ptr %key.at
  store ptr null, ptr %value.at
  %is.item = call i32 @PyDict_Next(ptr %state, ptr %place, ptr %key.at, ptr %value.at)
  %key = load ptr, ptr %key.at
  %own.now = load ptr, ptr %value.at
  %same.key = icmp eq ptr %key, %p
  %same.own = icmp eq ptr %own.now, %known.own
  %same.item = and i1 %same.key, %same.own
  br i1 %same.item, label %entries, label %no
entries:
  store i64 0, ptr %place
  %count = load i64, ptr %row[$ENTRIES]
  %first = load ptr, ptr %row[$ENTRY]
  br label %each
each:
  %e = phi i64 [ 0, %entries ], [ %e.next, %kept ]
  %is.entry = icmp slt i64 %e, %count
  br i1 %is.entry, label %take, label %next
take:
  %is.there = call i32 @PyDict_Next(ptr %own.now, ptr %place, ptr %key.at, ptr %value.at)
  %was.there = icmp ne i32 %is.there, 0
  br i1 %was.there, label %named, label %no
named:
  %e.word = mul i64 %e, $ENTRY_COLUMNS
  %e.row = getelementptr i64, ptr %first, i64 %e.word
  %name = load ptr, ptr %key.at
  %known.name = load ptr, ptr %e.row
  %same.name = icmp eq ptr %name, %known.name
  br i1 %same.name, label %wanted, label %no
wanted:
  %e.kind = load ptr, ptr %e.row[$ENTRY_KIND]
  %is.other = icmp eq ptr %e.kind, null
  br i1 %is.other, label %kept, label %whole
whole:
  %column = load i64, ptr %e.row[$COLUMN]
  %cell = getelementptr i64, ptr %cells, i64 %column
  %value = load ptr, ptr %value.at
  %is.kept = call i1 @is_kept(ptr %value, ptr %e.kind, ptr %cell)
  br i1 %is.kept, label %kept, label %no
kept:
  %e.next = add i64 %e, 1
  br label %each
next:
  %i.next = add i64 %i, 1
  br label %parameter
yes:
  ret i1 true
no:
  ret i1 false
}

; Count one change of every parameter that has a gradient, as torch does for what is written in place.
define internal void @count(ptr %rows, i64 %n) {
entry:
  br label %parameter
parameter:
  %i = phi i64 [ 0, %entry ], [ %i.next, %counted ]
  %is.parameter = icmp slt i64 %i, %n
  br i1 %is.parameter, label %written, label %end
written:
  %row.word = mul i64 %i, $COLUMNS
  %row = getelementptr i64, ptr %rows, i64 %row.word
  %cells = load ptr, ptr %row[$CELLS]
  %is.stranger = icmp eq ptr %cells, null
  br i1 %is.stranger, label %counted, label %member
member:
  %which = load i64, ptr %cells[$COEFFICIENTS]
  %is.left.out = icmp slt i64 %which, 0
  br i1 %is.left.out, label %counted, label %change
change:
  %p = load ptr, ptr %row
  %tensor = getelementptr i8, ptr %p, i64 $tensor_offset
  call void @$bump(ptr %tensor)
  br label %counted
counted:
  %i.next = add i64 %i, 1
  br label %parameter
end:
  ret void
}

; One step, if all is as it was and all coefficients are finite; whether it was taken. Up to then nothing is written but
; to the kernel's own tables.
define i1 @step(ptr %params, ptr %state, ptr %rows, i64 %n, ptr %undefined, ptr %launches, i64 %count) {
entry:
  %is.as.before = call i1 @look(ptr %params, ptr %state, ptr %rows, i64 %n, ptr %undefined)
  br i1 %is.as.before, label %each, label %no
each:
  %k = phi i64 [ 0, %entry ], [ %k.next, %ready ]
  %is.launch = icmp slt i64 %k, %count
  br i1 %is.launch, label %ask, label %written
ask:
  %k.launch.at = getelementptr ptr, ptr %launches, i64 %k
  %k.launch = load ptr, ptr %k.launch.at
  %prepare = load ptr, ptr %k.launch[$PREPARE]
  %k.table = load ptr, ptr %k.launch[$TABLE]
  %size = load i64, ptr %k.launch[$SIZE]
  %hyper = load ptr, ptr %k.launch[$HYPER]
  %k.c = load ptr, ptr %k.launch[$C]
  %k.scalars = load ptr, ptr %k.launch[$SCALARS]
  %is.finite = call i1 %prepare(ptr %k.table, i64 %size, ptr %hyper, ptr %k.c, ptr %k.scalars)
  br i1 %is.finite, label %ready, label %no
ready:
  %k.next = add i64 %k, 1
  br label %each
written:
  call void @count(ptr %rows, i64 %n)
  br label %run.each
run.each:
  %r = phi i64 [ 0, %written ], [ %r.next, %run ]
  %is.run = icmp slt i64 %r, %count
  br i1 %is.run, label %run, label %yes
run:
  %launch.at = getelementptr ptr, ptr %launches, i64 %r
  %launch = load ptr, ptr %launch.at
  %function = load ptr, ptr %launch[$RUN]
  %table = load ptr, ptr %launch[$TABLE]
  %chunks = load ptr, ptr %launch[$CHUNKS]
  %chunk.count = load i64, ptr %launch[$CHUNK_COUNT]
  %c = load ptr, ptr %launch[$C]
  %scalars = load ptr, ptr %launch[$SCALARS]
  call void %function(ptr %table, ptr %chunks, i64 %chunk.count, ptr %c, ptr %scalars)
  %r.next = add i64 %r, 1
  br label %run.each
yes:
  ret i1 true
no:
  ret i1 false
}
""")


FIELD = re.compile(r"(%[\w.]+) = load (\w+), ptr (%[\w.]+)\[(\d+)\]")
"""A shorthand: `%value = load type, ptr %words[number]`."""


def source(type_offset: int, tensor_offset: int, keys_offset: int) -> str:
    """The module's text, for objects that have their facts at these offsets in bytes."""
    columns = {name: value for name, value in globals().items() if isinstance(value, int)}
    offsets = {"type_offset": type_offset, "tensor_offset": tensor_offset, "keys_offset": keys_offset}
    table = {"COEFFICIENTS": COEFFICIENTS, "X": ADDRESSES, "G": ADDRESSES + 1}
    values = columns | table | offsets | LAUNCH | walk_ahead.CONSTANTS
    text = "".join(part.substitute(values, grad=GRAD, bump=BUMP) for part in (walk_ahead.SOURCE, SOURCE))
    return FIELD.sub(r"\1.field = getelementptr i64, ptr \3, i64 \4\n  \1 = load \2, ptr \1.field", text)
