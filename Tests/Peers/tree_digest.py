"""Prints all of a tree that a copy has to keep: contents, kinds, owners, modes, times, links, attributes."""
import hashlib
import os
import stat
import sys

root = os.fsencode(sys.argv[1])
links = {}
for folder, folders, files in os.walk(root):
    folders.sort()
    for name in sorted(folders + files) + [b"."]:
        path = os.path.join(folder, name)
        seen = os.lstat(path)
        what = stat.filemode(seen.st_mode)
        line = [os.path.relpath(path, root), what, seen.st_uid, seen.st_gid, seen.st_mtime_ns, seen.st_rdev]
        if stat.S_ISREG(seen.st_mode):
            with open(path, "rb") as file:
                line += [seen.st_size, hashlib.sha256(file.read()).hexdigest()]
        if stat.S_ISLNK(seen.st_mode):
            line.append(os.readlink(path))
        if not stat.S_ISDIR(seen.st_mode):
            line += [seen.st_nlink, links.setdefault(seen.st_ino, os.path.relpath(path, root))]
        for key in sorted(os.listxattr(path, follow_symlinks=False)):
            line += [key, os.getxattr(path, key, follow_symlinks=False)]
        print(*line)
