"""Makes a tree with everything that a folder can have: `tree_make.py ROOT FILES BYTES`."""
import os
import random
import struct
import sys

root, count, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
random.seed(count * 7919 + size)
os.makedirs(root, exist_ok=True)
os.chdir(root)
for number in range(count):
    folder = f"records/{number % 17}/{number % 5}"
    os.makedirs(folder, exist_ok=True)
    path = f"{folder}/PATIENT-NAME-{number}.txt"
    with open(path, "wb") as file:
        file.write(b"PLAINTEXT-OF-A-PATIENT %d\n" % number + random.randbytes(random.randrange(size)))
    os.chown(path, 1000 + number % 3, 2000 + number % 2)
    os.chmod(path, 0o400 + number % 0o400)
    os.utime(path, ns=(10**18 + number, 10**18 + number * 1_000_003))
with open(b"not \xff utf-8", "wb") as file:
    file.write(b"x")
os.link(b"not \xff utf-8", b"records/other \xfe name")
os.link("records/0/0/PATIENT-NAME-0.txt", "records/linked")
os.symlink("records/0/0/PATIENT-NAME-0.txt", "link")
os.symlink("/nowhere/at/all", "dangling")
os.lchown("dangling", 7, 8)
os.mkfifo("fifo", 0o640)
os.mknod("zero", 0o020600, os.makedev(1, 5))
os.truncate(os.open("sparse", os.O_CREAT | os.O_RDWR), 3_000_000)
with open("sparse", "r+b") as file:
    file.seek(1_000_000)
    file.write(b"island")
os.mkdir("empty", 0o1777)
os.chmod("empty", 0o3775)
os.setxattr("records/linked", "user.note", b"kept \x00 whole")
entries = [(1, 6, 0xFFFFFFFF), (2, 4, 33), (4, 4, 0xFFFFFFFF), (16, 4, 0xFFFFFFFF), (32, 0, 0xFFFFFFFF)]
acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
os.setxattr("records/linked", "system.posix_acl_access", acl)
os.setxattr("empty", "system.posix_acl_default", acl)
os.utime("empty", (1, 2))
os.utime("records", (3, 4))
os.chown(".", 33, 33)
os.chmod(".", 0o2750)
os.utime(".", (5, 6))
