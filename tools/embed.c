/* embed NAME OUT_DIR BASE_DIR [FILE...]
 *
 * Writes OUT_DIR/NAME.h and OUT_DIR/NAME.c: the set of files as the table of src/base/embedded.h, in the order given. The
 * output depends on nothing but names and bytes, so that builds are reproducible. Built and run first, so it is plain C with
 * no dependency.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void die(const char *what, const char *path)
{
	fprintf(stderr, "embed: %s %s: %s\n", what, path, strerror(errno));
	exit(1);
}

static FILE *create(const char *dir, const char *name, const char *suffix)
{
	char path[4096];

	if ((size_t)snprintf(path, sizeof(path), "%s/%s%s", dir, name, suffix) >= sizeof(path)) {
		errno = ENAMETOOLONG;
		die("cannot write", name);
	}
	FILE *f = fopen(path, "w");
	if (!f)
		die("cannot write", path);
	return f;
}

static void finish(FILE *f, const char *name)
{
	if (ferror(f) || fclose(f) != 0)
		die("cannot write", name);
}

/* Octal escapes of always three digits, because a shorter one would swallow a digit that follows it; and `?` is escaped
 * against trigraphs. Compiles ten times faster than a list of numbers. */
static void write_byte(FILE *out, int c)
{
	if (c == '"' || c == '\\')
		fprintf(out, "\\%c", c);
	else if (c >= 0x20 && c < 0x7f && c != '?')
		fputc(c, out);
	else
		fprintf(out, "\\%03o", (unsigned)c);
}

static size_t write_data(FILE *out, const char *path, int index)
{
	FILE *in = fopen(path, "rb");
	size_t len = 0;
	int c;

	if (!in)
		die("cannot read", path);
	fprintf(out, "\nstatic const unsigned char data_%d[] =\n\t\"", index);
	while ((c = fgetc(in)) != EOF) {
		write_byte(out, c);
		len++;
		if (c == '\n' || len % 100 == 0)
			fputs("\"\n\t\"", out);
	}
	if (ferror(in))
		die("cannot read", path);
	fclose(in);
	fputs("\";\n", out);
	return len;
}

static const char *relative(const char *path, const char *base)
{
	size_t len = strlen(base);

	if (strncmp(path, base, len) != 0 || path[len] != '/') {
		fprintf(stderr, "embed: %s is not under %s\n", path, base);
		exit(1);
	}
	return path + len + 1;
}

static void write_header(FILE *out, const char *name)
{
	fprintf(out,
		"/* made by tools/embed.c */\n"
		"#pragma once\n"
		"#include \"base/embedded.h\"\n\n"
		"extern const struct sl_embedded sl_embedded_%s[];\n"
		"extern const size_t sl_embedded_%s_count;\n",
		name, name);
}

static void write_table(FILE *out, const char *name, const char *base, char **files, int n)
{
	size_t *len = calloc((size_t)n + 1, sizeof(*len));

	if (!len)
		die("no memory for", name);
	fprintf(out, "/* made by tools/embed.c */\n#include \"embedded/%s.h\"\n", name);
	for (int i = 0; i < n; i++)
		len[i] = write_data(out, files[i], i);
	fprintf(out, "\nconst struct sl_embedded sl_embedded_%s[] = {\n", name);
	for (int i = 0; i < n; i++)
		fprintf(out, "\t{ \"%s\", data_%d, %zu },\n", relative(files[i], base), i, len[i]);
	fprintf(out, "\t{ 0 },\n};\n\nconst size_t sl_embedded_%s_count = %d;\n", name, n);
	free(len);
}

int main(int argc, char **argv)
{
	if (argc < 4) {
		fputs("usage: embed NAME OUT_DIR BASE_DIR [FILE...]\n", stderr);
		return 2;
	}
	FILE *header = create(argv[2], argv[1], ".h");
	write_header(header, argv[1]);
	finish(header, argv[1]);
	FILE *table = create(argv[2], argv[1], ".c");
	write_table(table, argv[1], argv[3], argv + 4, argc - 4);
	finish(table, argv[1]);
	return 0;
}
