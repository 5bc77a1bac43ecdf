/* The project file: read from a folder of its own, as the program does; refused with a place, or a project that can be freed. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "project/project.h"

static char dir[] = "/tmp/fuzz-project-XXXXXX", file[sizeof(dir) + 16];

static void remove_folder(void)
{
	remove(file);
	remove(dir);
}

static void make_folder(void)
{
	if (file[0])
		return;
	if (!mkdtemp(dir))
		abort();
	snprintf(file, sizeof(file), "%s/sluice.yaml", dir);
	atexit(remove_folder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct sl_error err = {0};
	SL_CLEANUP(sl_project_freep) struct sl_project *project = NULL;

	make_folder();
	FILE *f = fopen(file, "wb");
	if (!f || fwrite(data, 1, len, f) != len || fclose(f) != 0)
		abort();
	if (sl_project_load(dir, NULL, 0, &project, &err) < 0)
		assert(err.message[0] && err.where[0]);
	return 0;
}
