"""Run a program that can write to some folders only, whoever runs it, root included.

Landlock (Linux 5.13 and newer, https://docs.kernel.org/userspace-api/landlock.html): a process gives up rights for itself and for
all that it starts, for good. Usage: confine.py FOLDER[:FOLDER...] PROGRAM ARGUMENT...
"""

import ctypes
import os
import sys

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
PATH_BENEATH = 1
SET_NO_NEW_PRIVS = 38
WRITE_FILE = 1 << 1
# remove_dir, remove_file, make_char, make_dir, make_reg, make_sock, make_fifo, make_block, make_sym
WRITES = WRITE_FILE | sum(1 << bit for bit in range(4, 13))
TRUNCATE, TRUNCATE_SINCE = 1 << 14, 3
REFER, REFER_SINCE = 1 << 13, 2


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def confine(folders: list[str]) -> bool:
    """Give up writing outside of these folders; False where the kernel has no Landlock.

    Raises:
        OSError: the kernel has it and refused.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(CREATE_RULESET, None, 0, 1)
    if version < 1:
        return False
    handled = WRITES | (TRUNCATE if version >= TRUNCATE_SINCE else 0) | (REFER if version >= REFER_SINCE else 0)
    ruleset = libc.syscall(CREATE_RULESET, ctypes.byref(ctypes.c_uint64(handled)), 8, 0)
    for folder in folders:
        # A device is a file: only rights of files go with it.
        rights = handled if os.path.isdir(folder) else handled & (WRITE_FILE | TRUNCATE)
        descriptor = os.open(folder, os.O_PATH)
        if libc.syscall(ADD_RULE, ruleset, PATH_BENEATH, ctypes.byref(_Beneath(rights, descriptor)), 0):
            raise OSError(ctypes.get_errno(), f"landlock refuses {folder}")
        os.close(descriptor)
    if libc.prctl(SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.syscall(RESTRICT_SELF, ruleset, 0):
        raise OSError(ctypes.get_errno(), "landlock refuses to restrict this process")
    return True


if __name__ == "__main__":
    if not confine([*sys.argv[1].split(":"), "/dev/null"]):
        print("this kernel has no Landlock: only the check of statements keeps SQL Lab from writing", file=sys.stderr)
    os.execvp(sys.argv[2], sys.argv[2:])
