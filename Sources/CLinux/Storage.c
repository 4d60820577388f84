#define _GNU_SOURCE
#include "Storage.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/fscrypt.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

// <sys/mount.h> and <linux/fs.h> do not go together.
int umount2(const char *target, int flags);
enum { without_following = 8 };

int everyhop_folder_policy(int folder, struct everyhop_policy *policy) {
    struct fscrypt_get_policy_ex_arg answer;
    memset(&answer, 0, sizeof answer);
    answer.policy_size = sizeof answer.policy;
    memset(policy, 0, sizeof *policy);
    if (ioctl(folder, FS_IOC_GET_ENCRYPTION_POLICY_EX, &answer) != 0) return -1;
    if (answer.policy.version == FSCRYPT_POLICY_V1) {
        policy->version = 1;
        policy->contents = answer.policy.v1.contents_encryption_mode;
        policy->names = answer.policy.v1.filenames_encryption_mode;
        policy->flags = answer.policy.v1.flags;
        memcpy(policy->key, answer.policy.v1.master_key_descriptor, FSCRYPT_KEY_DESCRIPTOR_SIZE);
        return 0;
    }
    if (answer.policy.version == FSCRYPT_POLICY_V2) {
        policy->version = 2;
        policy->contents = answer.policy.v2.contents_encryption_mode;
        policy->names = answer.policy.v2.filenames_encryption_mode;
        policy->flags = answer.policy.v2.flags;
        memcpy(policy->key, answer.policy.v2.master_key_identifier, FSCRYPT_KEY_IDENTIFIER_SIZE);
        return 0;
    }
    errno = EINVAL;
    return -1;
}

int everyhop_folder_key_status(int folder, const struct everyhop_policy *policy) {
    struct fscrypt_get_key_status_arg status;
    memset(&status, 0, sizeof status);
    if (policy->version == 1) {
        status.key_spec.type = FSCRYPT_KEY_SPEC_TYPE_DESCRIPTOR;
        memcpy(status.key_spec.u.descriptor, policy->key, FSCRYPT_KEY_DESCRIPTOR_SIZE);
    } else {
        status.key_spec.type = FSCRYPT_KEY_SPEC_TYPE_IDENTIFIER;
        memcpy(status.key_spec.u.identifier, policy->key, FSCRYPT_KEY_IDENTIFIER_SIZE);
    }
    if (ioctl(folder, FS_IOC_GET_ENCRYPTION_KEY_STATUS, &status) != 0) return -1;
    return (int)status.status;
}

int everyhop_folder_encrypt(int folder, const unsigned char *key) {
    struct fscrypt_policy_v2 policy;
    memset(&policy, 0, sizeof policy);
    policy.version = FSCRYPT_POLICY_V2;
    policy.contents_encryption_mode = FSCRYPT_MODE_AES_256_XTS;
    policy.filenames_encryption_mode = FSCRYPT_MODE_AES_256_CTS;
    policy.flags = FSCRYPT_POLICY_FLAGS_PAD_32;
    memcpy(policy.master_key_identifier, key, FSCRYPT_KEY_IDENTIFIER_SIZE);
    return ioctl(folder, FS_IOC_SET_ENCRYPTION_POLICY, &policy);
}

int everyhop_folder_add_key(int folder, const void *key, size_t length, unsigned char *name) {
    union {
        struct fscrypt_add_key_arg argument;
        unsigned char room[sizeof(struct fscrypt_add_key_arg) + FSCRYPT_MAX_KEY_SIZE];
    } request;
    if (length > FSCRYPT_MAX_KEY_SIZE) {
        errno = EINVAL;
        return -1;
    }
    memset(&request, 0, sizeof request);
    request.argument.key_spec.type = FSCRYPT_KEY_SPEC_TYPE_IDENTIFIER;
    request.argument.raw_size = (unsigned)length;
    memcpy(request.argument.raw, key, length);
    int result = ioctl(folder, FS_IOC_ADD_ENCRYPTION_KEY, &request.argument);
    int code = errno;
    if (result == 0) memcpy(name, request.argument.key_spec.u.identifier, FSCRYPT_KEY_IDENTIFIER_SIZE);
    explicit_bzero(&request, sizeof request);
    errno = code;
    return result;
}

int everyhop_folder_remove_key(int folder, const unsigned char *name) {
    struct fscrypt_remove_key_arg request;
    memset(&request, 0, sizeof request);
    request.key_spec.type = FSCRYPT_KEY_SPEC_TYPE_IDENTIFIER;
    memcpy(request.key_spec.u.identifier, name, FSCRYPT_KEY_IDENTIFIER_SIZE);
    int result = geteuid() == 0 ? ioctl(folder, FS_IOC_REMOVE_ENCRYPTION_KEY_ALL_USERS, &request)
                                : ioctl(folder, FS_IOC_REMOVE_ENCRYPTION_KEY, &request);
    if (result != 0) return -1;
    if (request.removal_status_flags & FSCRYPT_KEY_REMOVAL_STATUS_FLAG_FILES_BUSY) return 1;
    return request.removal_status_flags & FSCRYPT_KEY_REMOVAL_STATUS_FLAG_OTHER_USERS ? 2 : 0;
}

int everyhop_exchange(const char *one, const char *other) {
    return renameat2(AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE);
}

int everyhop_sync_file_system(int descriptor) { return syncfs(descriptor); }

int everyhop_set_immutable(int folder, int immutable) {
    int flags = 0;
    if (ioctl(folder, FS_IOC_GETFLAGS, &flags) != 0) return -1;
    flags = immutable ? flags | FS_IMMUTABLE_FL : flags & ~FS_IMMUTABLE_FL;
    return ioctl(folder, FS_IOC_SETFLAGS, &flags);
}

int everyhop_discard_free(int folder) {
    struct fstrim_range range = {.start = 0, .len = ~0ULL, .minlen = 0};
    return ioctl(folder, FITRIM, &range);
}

long everyhop_find(const void *bytes, size_t length, const void *needle, size_t needle_length) {
    const char *found = memmem(bytes, length, needle, needle_length);
    return found ? found - (const char *)bytes : -1;
}

int everyhop_unmount(const char *path) { return umount2(path, without_following); }

unsigned everyhop_major(unsigned long device) { return major(device); }

unsigned everyhop_minor(unsigned long device) { return minor(device); }
