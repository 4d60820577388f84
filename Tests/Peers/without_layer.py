"""Runs a program as if the kernel lacked a layer of the sandbox: without_layer.py landlock|mdwe PROGRAM [ARGUMENT]..."""
import ctypes, errno, os, platform, struct, sys

LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, FAIL = 0x7FFF0000, 0x00050000
prctl = {"x86_64": 157, "aarch64": 167}[platform.machine()]
# Offsets in struct seccomp_data: the number, and the lower half of the first argument.
NUMBER, FIRST = 0, 16
programs = {
    # landlock_create_ruleset
    "landlock": [(LOAD, 0, 0, NUMBER), (EQUAL, 0, 1, 444), (RETURN, 0, 0, FAIL | errno.ENOSYS), (RETURN, 0, 0, ALLOW)],
    # PR_SET_MDWE and PR_GET_MDWE
    "mdwe": [
        (LOAD, 0, 0, NUMBER), (EQUAL, 0, 4, prctl), (LOAD, 0, 0, FIRST), (EQUAL, 1, 0, 65), (EQUAL, 0, 1, 66),
        (RETURN, 0, 0, FAIL | errno.EINVAL), (RETURN, 0, 0, ALLOW),
    ],
}
program = b"".join(struct.pack("HBBI", *step) for step in programs[sys.argv[1]])
steps = ctypes.create_string_buffer(program, len(program))


class Filter(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("steps", ctypes.c_void_p)]


library = ctypes.CDLL(None, use_errno=True)
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, MODE_FILTER = 22, 38, 2
library.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
filter = Filter(len(program) // 8, ctypes.cast(steps, ctypes.c_void_p))
if library.prctl(PR_SET_SECCOMP, MODE_FILTER, ctypes.byref(filter), 0, 0) != 0:
    sys.exit(f"seccomp: {os.strerror(ctypes.get_errno())}")
os.execvp(sys.argv[2], sys.argv[2:])
