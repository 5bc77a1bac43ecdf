#include "base/tar.h"

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

enum { MODE_AT = 100, SIZE_AT = 124, CHECKSUM_AT = 148, TYPE_AT = 156, SIZE_DIGITS = 11, END_BLOCKS = 2 };

static const char ZEROS[SL_TAR_BLOCK];

static size_t padding(size_t len) { return (SL_TAR_BLOCK - len % SL_TAR_BLOCK) % SL_TAR_BLOCK; }

static bool name_valid(const char *name)
{
	static const char TAKEN[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-/";
	return strlen(name) <= SL_TAR_NAME_MAX && strspn(name, TAKEN) == strlen(name) && sl_relative_path_valid(name);
}

static void make_header(char block[SL_TAR_BLOCK], const char *name, size_t len)
{
	unsigned sum = 0;
	memset(block, 0, SL_TAR_BLOCK);
	memcpy(block, name, strlen(name));
	memcpy(block + MODE_AT, "0000644\0000000000\0000000000", 24);
	snprintf(block + SIZE_AT, SIZE_DIGITS + 1, "%011llo", (unsigned long long)len);
	memcpy(block + SIZE_AT + SIZE_DIGITS + 1, "00000000000", 12);
	memset(block + CHECKSUM_AT, ' ', 8);
	block[TYPE_AT] = '0';
	memcpy(block + 257, "ustar\00000", 8);
	memcpy(block + 329, "0000000\0000000000", 16);
	for (int i = 0; i < SL_TAR_BLOCK; i++)
		sum += (unsigned char)block[i];
	snprintf(block + CHECKSUM_AT, 7, "%06o", sum & 0777777);
}

void sl_tar_add(struct sl_buf *out, const char *name, const void *data, size_t len)
{
	char block[SL_TAR_BLOCK];
	assert(name_valid(name) && len < (size_t)1 << 33);
	make_header(block, name, len);
	sl_buf_add(out, block, sizeof block);
	sl_buf_add(out, data, len);
	sl_buf_add(out, ZEROS, padding(len));
}

void sl_tar_end(struct sl_buf *out)
{
	for (int i = 0; i < END_BLOCKS; i++)
		sl_buf_add(out, ZEROS, sizeof ZEROS);
}

/* What a member is that is no plain file, in words; NULL for one that is. */
static const char *kind_of(char type)
{
	switch (type) {
	case '0': return NULL;
	case '1': return "a hard link";
	case '2': return "a symbolic link";
	case '3':
	case '4': return "a device";
	case '5': return "a folder";
	case '6': return "a FIFO";
	default: return "of an unknown type";
	}
}

static bool read_size(const char *digits, size_t *ret)
{
	size_t size = 0;
	for (int i = 0; i < SIZE_DIGITS; i++) {
		if (digits[i] < '0' || digits[i] > '7')
			return false;
		size = size * 8 + (size_t)(digits[i] - '0');
	}
	*ret = size;
	return true;
}

static int read_header(const struct sl_tar *tar, char name[SL_TAR_NAME_MAX + 1], size_t *ret_len, struct sl_error *err)
{
	const char *block = tar->data + tar->at;
	char made[SL_TAR_BLOCK];
	if (!memchr(block, 0, SL_TAR_NAME_MAX + 1))
		return sl_fail(err, SL_E_CORRUPT, "byte %zu: the member's name is longer than %d bytes", tar->at, SL_TAR_NAME_MAX);
	memcpy(name, block, strlen(block) + 1);
	if (!name_valid(name))
		return sl_fail(err, SL_E_CORRUPT, "byte %zu: '%s' is no name of a member", tar->at, name);
	const char *kind = kind_of(block[TYPE_AT]);
	if (kind)
		return sl_fail_at(err, SL_E_CORRUPT, name, "is %s, not a plain file", kind);
	if (!read_size(block + SIZE_AT, ret_len))
		return sl_fail_at(err, SL_E_CORRUPT, name, "its size is not a number");
	make_header(made, name, *ret_len);
	if (memcmp(made, block, sizeof made))
		return sl_fail_at(err, SL_E_CORRUPT, name, "its header is not the one of its name and size");
	return 0;
}

/* The end: two empty blocks and nothing behind. */
static int read_end(const struct sl_tar *tar, struct sl_error *err)
{
	size_t left = tar->len - tar->at;
	if (left != (size_t)END_BLOCKS * SL_TAR_BLOCK || memcmp(tar->data + tar->at + SL_TAR_BLOCK, ZEROS, SL_TAR_BLOCK))
		return sl_fail(err, SL_E_CORRUPT, "byte %zu: the archive does not end with two empty blocks", tar->at);
	return 0;
}

int sl_tar_next(struct sl_tar *tar, struct sl_error *err)
{
	char name[SL_TAR_NAME_MAX + 1];
	size_t len = 0, left = tar->len - tar->at;
	if (left < SL_TAR_BLOCK)
		return sl_fail(err, SL_E_CORRUPT, "byte %zu: the archive is cut off", tar->at);
	if (!memcmp(tar->data + tar->at, ZEROS, SL_TAR_BLOCK))
		return read_end(tar, err);
	int rc = read_header(tar, name, &len, err);
	if (rc)
		return rc;
	if (strcmp(name, tar->name) <= 0)
		return sl_fail_at(err, SL_E_CORRUPT, name, strcmp(name, tar->name) ? "is out of order" : "is there twice");
	left -= SL_TAR_BLOCK;
	if (len > left || padding(len) > left - len)
		return sl_fail_at(err, SL_E_CORRUPT, name, "is cut off");
	const char *content = tar->data + tar->at + SL_TAR_BLOCK;
	if (memcmp(content + len, ZEROS, padding(len)))
		return sl_fail_at(err, SL_E_CORRUPT, name, "has bytes in its padding");
	memcpy(tar->name, name, sizeof name);
	tar->content = content;
	tar->content_len = len;
	tar->at += SL_TAR_BLOCK + len + padding(len);
	return 1;
}
