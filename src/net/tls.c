/* OpenSSL on the connection's own descriptor, not on memory buffers: the sockets are non-blocking, the loop tells when to
 * go on, and nothing is copied twice. Idle connections give their buffers back (SSL_MODE_RELEASE_BUFFERS: 34 KB each
 * otherwise). */
#include "net/tls.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "net/wire.h"

struct sl_tls {
	SSL_CTX *context;
};

static int fail_ssl(struct sl_error *err, int code, const char *where, const char *doing)
{
	char reason[160] = "unknown reason";
	unsigned long error = ERR_peek_last_error();
	if (error)
		ERR_error_string_n(error, reason, sizeof reason);
	ERR_clear_error();
	return sl_fail_at(err, code, where, "%s: %s", doing, reason);
}

static int tls_new(const SSL_METHOD *method, struct sl_tls **ret, struct sl_error *err)
{
	struct sl_tls *tls = sl_alloc(sizeof *tls, err);
	if (!tls)
		return SL_E_NO_MEMORY;
	tls->context = SSL_CTX_new(method);
	if (!tls->context) {
		sl_free(tls);
		return fail_ssl(err, SL_E_NO_MEMORY, NULL, "cannot set up TLS");
	}
	SSL_CTX_set_min_proto_version(tls->context, TLS1_2_VERSION);
	SSL_CTX_set_options(tls->context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_mode(tls->context,
		SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
	*ret = tls;
	return 0;
}

int sl_tls_server_new(const char *certificate_path, const char *key_path, struct sl_tls **ret, struct sl_error *err)
{
	struct sl_tls *tls = NULL;
	int rc = tls_new(TLS_server_method(), &tls, err);
	if (rc)
		return rc;
	if (SSL_CTX_use_certificate_chain_file(tls->context, certificate_path) != 1)
		rc = fail_ssl(err, SL_E_INVALID, certificate_path, "not a PEM certificate chain");
	else if (SSL_CTX_use_PrivateKey_file(tls->context, key_path, SSL_FILETYPE_PEM) != 1)
		rc = fail_ssl(err, SL_E_INVALID, key_path, "not a PEM private key");
	else if (SSL_CTX_check_private_key(tls->context) != 1)
		rc = fail_ssl(err, SL_E_INVALID, key_path, "the private key is not the certificate's");
	if (rc) {
		sl_tls_free(tls);
		return rc;
	}
	*ret = tls;
	return 0;
}

int sl_tls_client_new(const char *ca_path, struct sl_tls **ret, struct sl_error *err)
{
	struct sl_tls *tls = NULL;
	int rc = tls_new(TLS_client_method(), &tls, err);
	if (rc)
		return rc;
	SSL_CTX_set_verify(tls->context, SSL_VERIFY_PEER, NULL);
	int loaded = ca_path ? SSL_CTX_load_verify_locations(tls->context, ca_path, NULL)
		: SSL_CTX_set_default_verify_paths(tls->context);
	if (loaded != 1) {
		sl_tls_free(tls);
		return fail_ssl(err, SL_E_INVALID, ca_path, "cannot load the certificate authorities");
	}
	*ret = tls;
	return 0;
}

void sl_tls_free(struct sl_tls *tls)
{
	if (!tls)
		return;
	SSL_CTX_free(tls->context);
	sl_free(tls);
}

static SSL *attach(struct sl_tls *tls, struct sl_wire *wire)
{
	SSL *ssl = SSL_new(tls->context);
	if (ssl && SSL_set_fd(ssl, wire->fd) == 1) {
		wire->ssl = ssl;
		return ssl;
	}
	SSL_free(ssl);
	return NULL;
}

int sl_tls_accept(struct sl_tls *tls, struct sl_wire *wire)
{
	SSL *ssl = attach(tls, wire);
	if (!ssl)
		return SL_E_NO_MEMORY;
	SSL_set_accept_state(ssl);
	return 0;
}

/* SSL_set_tlsext_host_name without its cast, which clang refuses: the library copies the name and does not change it. */
static bool set_server_name(SSL *ssl, const char *host)
{
	return SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, (void *)(uintptr_t)host) == 1;
}

int sl_tls_connect(struct sl_tls *tls, struct sl_wire *wire, const char *host, struct sl_error *err)
{
	SSL *ssl = attach(tls, wire);
	if (!ssl)
		return sl_fail_memory(err);
	unsigned char address[sizeof(struct in6_addr)];
	bool numeric = inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
	bool set = numeric ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1
			   : set_server_name(ssl, host) && SSL_set1_host(ssl, host) == 1;
	if (!set)
		return fail_ssl(err, SL_E_INVALID, host, "not a name that TLS can verify");
	SSL_set_connect_state(ssl);
	return 0;
}

const char *sl_tls_problem(const struct sl_wire *wire)
{
	long result = SSL_get_verify_result(wire->ssl);
	return result == X509_V_OK ? NULL : X509_verify_cert_error_string(result);
}

static bool is_loopback(const char *host)
{
	struct in_addr v4;
	struct in6_addr v6;
	if (strcasecmp(host, "localhost") == 0)
		return true;
	if (inet_pton(AF_INET, host, &v4) == 1)
		return ntohl(v4.s_addr) >> 24 == 127;
	return inet_pton(AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

int sl_net_bind_check(const char *host, bool has_tls, bool has_token, struct sl_error *err)
{
	if (is_loopback(host) || (has_tls && has_token))
		return 0;
	sl_fail_at(err, SL_E_DENIED, host, "listening beyond this machine needs %s", !has_tls && !has_token ? "TLS and a token"
		: has_tls ? "a token" : "TLS");
	return sl_error_hint(err, "listen on 127.0.0.1, or configure a certificate, its key and a token");
}
