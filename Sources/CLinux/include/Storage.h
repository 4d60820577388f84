// Encryption of folders by the kernel (fscrypt), mounts, and what a safe exchange of two folders needs.
#ifndef EVERYHOP_STORAGE_H
#define EVERYHOP_STORAGE_H
#include <stddef.h>
#include <sys/types.h>
#include <sys/xattr.h>

/// A folder's encryption policy: the numbers of linux/fscrypt.h, and the name of its key.
struct everyhop_policy {
    /// 1 or 2.
    int version;
    int contents;
    int names;
    int flags;
    /// 8 bytes of a version 1 policy, 16 of a version 2 policy.
    unsigned char key[16];
};

/// FS_IOC_GET_ENCRYPTION_POLICY_EX; 0, or -1 with errno: ENODATA for a folder in plain, ENOTTY or EOPNOTSUPP where the
/// file system has no encryption.
int everyhop_folder_policy(int folder, struct everyhop_policy *policy);

/// FS_IOC_GET_ENCRYPTION_KEY_STATUS of a policy's key: 1 absent, 2 present, 3 in removal; -1 with errno.
int everyhop_folder_key_status(int folder, const struct everyhop_policy *policy);

/// FS_IOC_SET_ENCRYPTION_POLICY on an empty folder: version 2, AES-256-XTS for contents, AES-256-CTS for names.
int everyhop_folder_encrypt(int folder, const unsigned char *key);

/// FS_IOC_ADD_ENCRYPTION_KEY; the kernel's name of the key, 16 bytes, is written to `name`.
int everyhop_folder_add_key(int folder, const void *key, size_t length, unsigned char *name);

/// FS_IOC_REMOVE_ENCRYPTION_KEY, as root for every user: 0 when all of it is gone, 1 when files in use keep theirs, 2
/// when other users have added it, too; -1 with errno.
int everyhop_folder_remove_key(int folder, const unsigned char *name);

/// renameat2(2) with RENAME_EXCHANGE.
int everyhop_exchange(const char *one, const char *other);

/// syncfs(2).
int everyhop_sync_file_system(int descriptor);

/// Sets or clears "immutable" (chattr +i) of an open folder.
int everyhop_set_immutable(int folder, int immutable);

/// FITRIM: tells the device that free space is free; 0, or -1 with errno.
int everyhop_discard_free(int folder);

/// memmem(3): where `needle` begins, or -1.
long everyhop_find(const void *bytes, size_t length, const void *needle, size_t needle_length);

/// umount2(2) without following links.
int everyhop_unmount(const char *path);

/// major(3) and minor(3).
unsigned everyhop_major(unsigned long device);
unsigned everyhop_minor(unsigned long device);
#endif
