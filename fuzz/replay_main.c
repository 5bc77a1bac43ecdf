/* Runs a fuzzer's function over files and the files of folders, without libFuzzer: `fuzz_json FILE|FOLDER...`. The first thing
 * wrong (a sanitizer's report, an assertion, a crash) ends it. An empty corpus is an error, because it would prove nothing. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { INPUT_MAX = 64 << 20, PATH_LEN_MAX = 4096 };

static void die(const char *path)
{
	fprintf(stderr, "cannot read %s\n", path);
	exit(1);
}

static int replay_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	struct stat st;

	if (!f || fstat(fileno(f), &st) != 0 || st.st_size > INPUT_MAX)
		die(path);
	/* Exactly as large as the input, so that a sanitizer sees a read behind its end. */
	size_t len = (size_t)st.st_size;
	uint8_t *data = malloc(len ? len : 1);
	if (!data || fread(data, 1, len, f) != len)
		die(path);
	fclose(f);
	LLVMFuzzerTestOneInput(data, len);
	free(data);
	return 1;
}

static int replay(const char *path)
{
	DIR *dir = opendir(path);
	int count = 0;

	if (!dir)
		return replay_file(path);
	for (struct dirent *entry; (entry = readdir(dir));) {
		char file[PATH_LEN_MAX];

		if (entry->d_name[0] == '.')
			continue;
		if ((size_t)snprintf(file, sizeof(file), "%s/%s", path, entry->d_name) >= sizeof(file))
			die(path);
		count += replay(file);
	}
	closedir(dir);
	return count;
}

int main(int argc, char **argv)
{
	int count = 0;

	for (int i = 1; i < argc; i++)
		count += replay(argv[i]);
	printf("%d inputs\n", count);
	return count > 0 ? 0 : 1;
}
