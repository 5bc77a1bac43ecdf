#include "os/limits.h"

#include <sys/resource.h>

static bool limit_one(int what, uint64_t value, uint64_t slack)
{
	struct rlimit now;
	if (!value)
		return true;
	if (getrlimit((__rlimit_resource_t)what, &now) < 0)
		return false;
	rlim_t hard = now.rlim_max < value + slack ? now.rlim_max : value + slack; /* never above what we have ourselves */
	now = (struct rlimit){.rlim_cur = hard < value ? hard : value, .rlim_max = hard};
	return setrlimit((__rlimit_resource_t)what, &now) == 0;
}

bool sl_limits_enter(const struct sl_limits *l)
{
	return limit_one(RLIMIT_CPU, (uint64_t)(l->cpu_ms + 999) / 1000, 1) && limit_one(RLIMIT_FSIZE, l->file_bytes, 0) && limit_one(RLIMIT_NOFILE, l->open_files, 0);
}
