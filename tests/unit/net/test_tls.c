/* The server and the client over TLS, with certificates made here. */
#include "http_testing.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <pthread.h>

#include "net/http_client.h"
#include "net/tls.h"
#include "os/file.h"

struct certs {
	char dir[64], certificate[96], key[96], other[96], other_key[96], data[96];
};

static void write_pem(const char *certificate_path, const char *key_path, const char *alt_name)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), -3600);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	X509_set_pubkey(x, key);
	X509_NAME *name = X509_get_subject_name(x);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"test", -1, -1, 0);
	X509_set_issuer_name(x, name);
	X509_EXTENSION *alt = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, alt_name);
	X509_add_ext(x, alt, -1);
	X509_sign(x, key, EVP_sha256());
	FILE *f = fopen(certificate_path, "w");
	PEM_write_X509(f, x);
	fclose(f);
	f = fopen(key_path, "w");
	PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL);
	fclose(f);
	X509_EXTENSION_free(alt);
	X509_free(x);
	EVP_PKEY_free(key);
}

struct both {
	struct certs certs;
	struct fixture f;
	struct sl_tls *tls;
	bool stop;
	struct sl_wakeup *wakeup;
	pthread_t thread;
};

enum { DATA_BYTES = 3000000 };

static void serve(void *context, struct sl_http_request *request)
{
	struct both *b = context;
	if (strcmp(request->path, "/file") == 0) {
		struct sl_http_response head = {.status = 200};
		sl_http_respond_file(request, &head, open(b->certs.data, O_RDONLY | O_CLOEXEC), 0, DATA_BYTES);
		return;
	}
	struct sl_error err;
	if (strcmp(request->path, "/over") == 0) {
		assert_int_equal(sl_http_request_hand_over(request, "/nowhere", NULL, NULL, &err), SL_E_CONFLICT);
		sl_http_respond_error(request, 0, &err);
		return;
	}
	struct sl_http_response response = {.status = 200, .body = request->body, .body_len = request->body_len};
	sl_http_respond(request, &response);
}

static void head(void *context, struct sl_http_request *request)
{
	if (strcmp(request->path, "/over") == 0)
		serve(context, request);
}

static void *run(void *context)
{
	sl_loop_run(((struct both *)context)->f.loop);
	return NULL;
}

static void stop_loop(void *context) { sl_loop_stop(((struct both *)context)->f.loop); }

static int setup(void **state)
{
	struct both *b = calloc(1, sizeof *b);
	struct certs *c = &b->certs;
	struct sl_error err;
	snprintf(c->dir, sizeof c->dir, "/tmp/sl-tls-XXXXXX");
	assert_non_null(mkdtemp(c->dir));
	snprintf(c->certificate, sizeof c->certificate, "%s/cert.pem", c->dir);
	snprintf(c->key, sizeof c->key, "%s/key.pem", c->dir);
	snprintf(c->other, sizeof c->other, "%s/other.pem", c->dir);
	snprintf(c->other_key, sizeof c->other_key, "%s/other-key.pem", c->dir);
	snprintf(c->data, sizeof c->data, "%s/data", c->dir);
	write_pem(c->certificate, c->key, "DNS:localhost");
	write_pem(c->other, c->other_key, "DNS:localhost");
	char *data = calloc(1, DATA_BYTES);
	assert_int_equal(sl_file_replace(c->data, data, DATA_BYTES, 0600, &err), 0);
	free(data);
	assert_int_equal(sl_tls_server_new(c->certificate, c->key, &b->tls, &err), 0);
	struct sl_http_config config = {.handler = {.context = b, .head = head, .request = serve}, .tls = b->tls};
	start(&b->f, &config);
	assert_int_equal(sl_wakeup_new(b->f.loop, stop_loop, b, &b->wakeup, &err), 0);
	pthread_create(&b->thread, NULL, run, b);
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct both *b = *state;
	struct sl_error err;
	sl_wakeup_fire(b->wakeup);
	pthread_join(b->thread, NULL);
	sl_wakeup_free(b->wakeup);
	stop(&b->f);
	sl_tls_free(b->tls);
	assert_int_equal(sl_dir_remove(b->certs.dir, &err), 0);
	free(b);
	return 0;
}

static int fetch(struct both *b, const char *ca, const char *host, const char *target, const char *body, size_t body_len,
	struct sl_buf *ret_body, int *ret_status, struct sl_error *err)
{
	struct sl_tls *tls;
	char url[128];
	snprintf(url, sizeof url, "https://%s:%u%s", host, b->f.port, target);
	assert_int_equal(sl_tls_client_new(ca, &tls, err), 0);
	struct sl_http_client_config config = {.tls = tls, .timeout_ms = 10000};
	struct sl_http_call call = {.method = body ? SL_HTTP_POST : SL_HTTP_GET, .url = url, .body = body, .body_len = body_len};
	int rc = sl_http_fetch(&config, &call, ret_status, NULL, ret_body, err);
	sl_tls_free(tls);
	return rc;
}

static void large_bodies_go_both_ways(void **state)
{
	struct both *b = *state;
	struct sl_buf body = SL_BUF_INIT(64 << 20);
	struct sl_error err = {0};
	int status = 0;
	enum { SIZE = 5000000 };
	char *data = malloc(SIZE);
	for (int i = 0; i < SIZE; i++)
		data[i] = (char)(i * 7);
	if (fetch(b, b->certs.certificate, "localhost", "/", data, SIZE, &body, &status, &err))
		fail_msg("%s", err.message);
	assert_int_equal(status, 200);
	assert_int_equal(body.len, SIZE);
	assert_memory_equal(body.data, data, SIZE);
	sl_buf_clear(&body);
	assert_int_equal(fetch(b, b->certs.certificate, "localhost", "/file", NULL, 0, &body, &status, &err), 0);
	assert_int_equal(body.len, DATA_BYTES);
	free(data);
	sl_buf_done(&body);
}

static void a_wrong_certificate_is_refused(void **state)
{
	struct both *b = *state;
	struct sl_error err = {0};
	int status;
	assert_int_equal(fetch(b, b->certs.other, "localhost", "/", NULL, 0, NULL, &status, &err), SL_E_DENIED);
	assert_non_null(strstr(err.message, "TLS"));
	/* The right authority, another name. */
	assert_int_equal(fetch(b, b->certs.certificate, "127.0.0.1", "/", NULL, 0, NULL, &status, &err), SL_E_DENIED);
	assert_non_null(strstr(err.message, "mismatch"));
	struct sl_tls *tls = NULL;
	assert_int_equal(sl_tls_server_new(b->certs.certificate, b->certs.other_key, &tls, &err), SL_E_INVALID);
	assert_int_equal(sl_tls_server_new(b->certs.data, b->certs.key, &tls, &err), SL_E_INVALID);
	assert_null(tls);
}

static void tls_connections_are_not_handed_over(void **state)
{
	struct both *b = *state;
	struct sl_buf body = SL_BUF_INIT(10000);
	struct sl_error err = {0};
	int status = 0;
	assert_int_equal(fetch(b, b->certs.certificate, "localhost", "/over", NULL, 0, &body, &status, &err), 0);
	assert_int_equal(status, 409);
	sl_buf_done(&body);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(large_bodies_go_both_ways), TEST(a_wrong_certificate_is_refused), TEST(tls_connections_are_not_handed_over),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
