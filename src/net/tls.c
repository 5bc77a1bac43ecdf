/* OpenSSL on the connection's own descriptor, not on memory buffers: the sockets are non-blocking, the loop tells when to
 * go on, and nothing is copied twice. Idle connections give their buffers back (SSL_MODE_RELEASE_BUFFERS: 34 KB each
 * otherwise). */
#include "net/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

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

/* Clients that offer a choice are told which we take; those that offer only others go on without, as RFC 7301 leaves open. HTTP/1.1 before
 * HTTP/2: the pages are there, and gRPC's clients, which HTTP/2 is for, offer nothing else. */
static int choose_protocol(SSL *ssl, const unsigned char **ret, unsigned char *ret_len, const unsigned char *offered,
	unsigned offered_len, void *context)
{
	static const unsigned char ours[] = "\010http/1.1\002h2";
	unsigned char *chosen;
	(void)ssl, (void)context;
	if (SSL_select_next_proto(&chosen, ret_len, ours, sizeof ours - 1, offered, offered_len) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_NOACK;
	*ret = chosen;
	return SSL_TLSEXT_ERR_OK;
}

/* OpenSSL would say "system lib". */
static int check_readable(const char *path, struct sl_error *err)
{
	return access(path, R_OK) == 0 ? 0 : sl_fail_errno(err, errno, path, "cannot read");
}

int sl_tls_server_new(const char *certificate_path, const char *key_path, struct sl_tls **ret, struct sl_error *err)
{
	struct sl_tls *tls = NULL;
	int rc = tls_new(TLS_server_method(), &tls, err);
	if (rc)
		return rc;
	SSL_CTX_set_alpn_select_cb(tls->context, choose_protocol, NULL);
	rc = check_readable(certificate_path, err);
	rc = rc ? rc : check_readable(key_path, err);
	if (!rc && SSL_CTX_use_certificate_chain_file(tls->context, certificate_path) != 1)
		rc = fail_ssl(err, SL_E_INVALID, certificate_path, "not a PEM certificate chain");
	else if (!rc && SSL_CTX_use_PrivateKey_file(tls->context, key_path, SSL_FILETYPE_PEM) != 1) /* compares the two as well */
		rc = fail_ssl(err, SL_E_INVALID, key_path,
			ERR_GET_REASON(ERR_peek_last_error()) == X509_R_KEY_VALUES_MISMATCH
				? "the private key is not the certificate's" : "not a PEM private key");
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

int sl_tls_certificate_names(const char *certificate_path, char ret[SL_TLS_NAMES_MAX][SL_TLS_NAME_BYTES], size_t *ret_count,
	struct sl_error *err)
{
	*ret_count = 0;
	BIO *file = BIO_new_file(certificate_path, "r");
	X509 *certificate = file ? PEM_read_bio_X509(file, NULL, NULL, NULL) : NULL;
	BIO_free(file);
	if (!certificate)
		return fail_ssl(err, SL_E_INVALID, certificate_path, "not a PEM certificate");
	GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
	for (int i = 0; i < sk_GENERAL_NAME_num(names) && *ret_count < SL_TLS_NAMES_MAX; i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
		if (name->type != GEN_DNS)
			continue;
		const char *text = (const char *)ASN1_STRING_get0_data(name->d.dNSName);
		size_t len = (size_t)ASN1_STRING_length(name->d.dNSName);
		if (len && len < SL_TLS_NAME_BYTES && strlen(text) == len)
			memcpy(ret[(*ret_count)++], text, len + 1);
	}
	GENERAL_NAMES_free(names);
	X509_free(certificate);
	return 0;
}

bool sl_net_is_loopback(const char *host)
{
	struct in_addr v4;
	struct in6_addr v6;
	if (strcasecmp(host, "localhost") == 0)
		return true;
	if (inet_pton(AF_INET, host, &v4) == 1)
		return ntohl(v4.s_addr) >> 24 == 127;
	return inet_pton(AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

int sl_net_bind_check(const char *host, bool has_tls, bool plain_allowed, struct sl_error *err)
{
	if (sl_net_is_loopback(host) || has_tls || plain_allowed)
		return 0;
	sl_fail_at(err, SL_E_DENIED, host, "listening beyond this machine needs TLS");
	return sl_error_hint(err, "give --tls-cert and --tls-key, or listen on 127.0.0.1");
}
