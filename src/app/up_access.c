#include "app/up_access.h"

#include <assert.h>
#include <string.h>

#include "net/tls.h"
#include "os/file.h"

enum { ALLOW_HOSTS_MAX = 50 };

static void add_arg(struct sl_up_access *access, const char *option, const char *value)
{
	assert(access->arg_count + 2 <= SL_UP_ROLE_ARGS_MAX); /* 2 x (3 + SL_TLS_NAMES_MAX + ALLOW_HOSTS_MAX) at most */
	access->args[access->arg_count++] = option;
	if (value)
		access->args[access->arg_count++] = value;
}

/* The project file is what is wrong: its place, and as wrong as any other value in it. */
static int blame_file(struct sl_mark mark, struct sl_error *err)
{
	struct sl_error why = *err;
	sl_fail(err, SL_E_INVALID, "%s%s%s", why.where, *why.where ? ": " : "", why.message);
	sl_error_where(err, "sluice.yaml:%d:%d", mark.line, mark.column);
	return *why.hint ? sl_error_hint(err, "%s", why.hint) : SL_E_INVALID;
}

static int project_path(const struct sl_project *project, const char *path, char out[SL_PATH_MAX], struct sl_error *err)
{
	if (path[0] != '/')
		return sl_path_join(out, project->dir, path, err);
	if (strlen(path) >= SL_PATH_MAX)
		return sl_fail(err, SL_E_TOO_LARGE, "the path is longer than %d bytes", SL_PATH_MAX - 1);
	strcpy(out, path);
	return 0;
}

static int read_paths(struct sl_call *call, const struct sl_server_spec *server, bool given, const char **ret_certificate, const char **ret_key,
		      struct sl_error *err)
{
	char certificate[SL_PATH_MAX], key[SL_PATH_MAX];
	int rc;
	if (given) {
		rc = sl_call_path(call, sl_call_text(call, "tls-cert"), certificate, err);
		rc = rc ? rc : sl_call_path(call, sl_call_text(call, "tls-key"), key, err);
	} else {
		rc = project_path(call->project, server->tls_cert, certificate, err);
		rc = rc ? rc : project_path(call->project, server->tls_key, key, err);
	}
	if (rc)
		return rc;
	*ret_certificate = sl_arena_strdup(call->arena, certificate);
	*ret_key = sl_arena_strdup(call->arena, key);
	return *ret_certificate && *ret_key ? 0 : sl_fail_memory(err);
}

/* The certificate is loaded here once, so that a wrong file is this command's error; its names become ours. */
static int add_certificate(struct sl_call *call, const struct sl_server_spec *server, bool given, struct sl_up_access *access, struct sl_error *err)
{
	static char names[SL_TLS_NAMES_MAX][SL_TLS_NAME_BYTES];
	const char *certificate, *key;
	size_t count = 0;
	struct sl_tls *tls = NULL;
	int rc = read_paths(call, server, given, &certificate, &key, err);
	rc = rc ? rc : sl_tls_server_new(certificate, key, &tls, err);
	sl_tls_free(tls);
	rc = rc ? rc : sl_tls_certificate_names(certificate, names, &count, err);
	if (rc)
		return given ? rc : blame_file(server->tls_mark, err);
	add_arg(access, "--tls-cert", certificate);
	add_arg(access, "--tls-key", key);
	for (size_t i = 0; i < count; i++)
		add_arg(access, "--allow-host", names[i]);
	return 0;
}

static int add_names(struct sl_call *call, const struct sl_server_spec *server, struct sl_up_access *access, struct sl_error *err)
{
	bool given = sl_call_given(call, "allow-host");
	size_t count = server->allow_host.count;
	const char *const *names = given ? sl_call_list(call, "allow-host", &count) : server->allow_host.items;
	if (count > ALLOW_HOSTS_MAX) {
		sl_fail(err, SL_E_TOO_LARGE, "at most %d names with %s", ALLOW_HOSTS_MAX, given ? "--allow-host" : "'allow_host'");
		return given ? err->code : blame_file(server->names_mark, err);
	}
	for (size_t i = 0; i < count; i++)
		add_arg(access, "--allow-host", names[i]);
	return 0;
}

static int check_host(struct sl_call *call, const struct sl_server_spec *server, const struct sl_up_access *access, struct sl_error *err)
{
	bool plain = sl_call_flag(call, "plain-text") || server->plain_text;
	int rc = sl_net_bind_check(access->host, access->tls, plain, err);
	if (!rc || sl_call_given(call, "host"))
		return rc;
	err->hint[0] = 0;
	blame_file(server->host_mark, err);
	return sl_error_hint(err, "add 'tls_cert' and 'tls_key', or listen on 127.0.0.1");
}

int sl_up_access_read(struct sl_call *call, const struct sl_server_spec *server, struct sl_up_access *ret, struct sl_error *err)
{
	bool given = sl_call_given(call, "tls-cert");
	if (given != sl_call_given(call, "tls-key"))
		return sl_fail(err, SL_E_INVALID, "--tls-cert and --tls-key go together");
	*ret = (struct sl_up_access){
		.host = sl_call_given(call, "host") ? sl_call_text(call, "host") : server->host,
		.port = (int)(sl_call_given(call, "port") ? sl_call_int(call, "port") : server->port),
		.tls = given || *server->tls_cert,
	};
	int rc = check_host(call, server, ret, err);
	if (!rc && ret->tls)
		rc = add_certificate(call, server, given, ret, err);
	rc = rc ? rc : add_names(call, server, ret, err);
	if (sl_call_flag(call, "require-token") || server->require_token || !sl_net_is_loopback(ret->host))
		add_arg(ret, "--require-token", NULL);
	return rc;
}
