#pragma once

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <string.h>


/*
 * What Swift cannot import: macros that cast, and OSSL_PARAM arrays, which keep the pointers they were built
 * from (a Swift string lives only for the call it is passed to). Only LibCrypto calls these.
 */

static inline void lk_openssl_free(void *memory) { OPENSSL_free(memory); }

static inline int lk_hmac_sha256_init(EVP_MAC_CTX *context, const unsigned char *key, size_t key_count) {
    const OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA256", 0),
        OSSL_PARAM_construct_end(),
    };
    return EVP_MAC_init(context, key, key_count, parameters);
}

static inline int lk_hkdf_sha256(
    EVP_KDF *kdf, const void *key, size_t key_count, const void *salt, size_t salt_count, const void *info,
    size_t info_count, unsigned char *output, size_t output_count
) {
    const OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)"SHA256", 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)key, key_count),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)salt, salt_count),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)info, info_count),
        OSSL_PARAM_construct_end(),
    };
    EVP_KDF_CTX *context = EVP_KDF_CTX_new(kdf);
    int done = context != NULL && EVP_KDF_derive(context, output, output_count, parameters) == 1;
    EVP_KDF_CTX_free(context);
    return done;
}

static inline EVP_PKEY *lk_public_key_from(const char *type, const OSSL_PARAM *parameters) {
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    if (context == NULL || EVP_PKEY_fromdata_init(context) != 1
        || EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, (OSSL_PARAM *)parameters) != 1) {
        key = NULL;
    }
    EVP_PKEY_CTX_free(context);
    return key;
}

/* Numbers are big-endian; NULL where OpenSSL refuses them. */
static inline EVP_PKEY *lk_rsa_public_key(
    const unsigned char *modulus, size_t modulus_count, const unsigned char *exponent, size_t exponent_count
) {
    EVP_PKEY *key = NULL;
    BIGNUM *n = BN_bin2bn(modulus, (int)modulus_count, NULL);
    BIGNUM *e = BN_bin2bn(exponent, (int)exponent_count, NULL);
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    if (n != NULL && e != NULL && builder != NULL && OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, n)
        && OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, e)) {
        OSSL_PARAM *parameters = OSSL_PARAM_BLD_to_param(builder);
        if (parameters != NULL) key = lk_public_key_from("RSA", parameters);
        OSSL_PARAM_free(parameters);
    }
    OSSL_PARAM_BLD_free(builder);
    BN_free(n);
    BN_free(e);
    return key;
}

/* The point is uncompressed: 0x04 || x || y (SEC 1 section 2.3.3); NULL where it is not on the curve. */
static inline EVP_PKEY *lk_p256_public_key(const unsigned char *point, size_t point_count) {
    const OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *)"P-256", 0),
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, (void *)point, point_count),
        OSSL_PARAM_construct_end(),
    };
    return lk_public_key_from("EC", parameters);
}

struct lk_passphrase {
    const void *bytes;
    size_t count;
    /* Whether the PEM asked for one. */
    int is_asked;
};

/* Negative where there is none: with no callback OpenSSL would ask on the terminal. */
static inline int lk_tell_passphrase(char *buffer, int size, int is_writing, void *user) {
    struct lk_passphrase *passphrase = user;
    passphrase->is_asked = 1;
    if (is_writing || passphrase->bytes == NULL || passphrase->count > (size_t)size) return -1;
    memcpy(buffer, passphrase->bytes, passphrase->count);
    return (int)passphrase->count;
}

/* The first private key of a PEM text: PKCS #8, encrypted or not, or the older form of RSA or EC. */
static inline EVP_PKEY *lk_private_key_from_pem(const void *text, size_t count, struct lk_passphrase *passphrase) {
    BIO *bio = BIO_new_mem_buf(text, (int)count);
    if (bio == NULL) return NULL;
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, lk_tell_passphrase, passphrase);
    BIO_free(bio);
    return key;
}

/* Whether all parts of a key pair belong together, RSA primes are prime, and a point is on its curve. */
static inline int lk_is_consistent(EVP_PKEY *key) {
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    int is_consistent = context != NULL && EVP_PKEY_check(context) == 1;
    EVP_PKEY_CTX_free(context);
    return is_consistent;
}

enum lk_rsa_weakness { LK_RSA_SOUND, LK_RSA_LACKS_PARTS, LK_RSA_MORE_PRIMES, LK_RSA_PRIMES, LK_RSA_EXPONENT };

/*
 * What can be wrong with an RSA key whose parts agree. The private numbers stay in OpenSSL's memory.
 * PRIMES: one of much less than half the bits is within reach of elliptic curves; two that share their first
 * 100 bits are found by Fermat's method (FIPS 186-4 B.3.3; CVE-2022-26320).
 * EXPONENT: a private exponent of less than half the modulus's bits is found by continued fractions (FIPS 186-4 B.3.1).
 */
static inline enum lk_rsa_weakness lk_find_rsa_weakness(const EVP_PKEY *key) {
    BIGNUM *d = NULL, *p = NULL, *q = NULL, *third = NULL, *difference = BN_new();
    int half = (EVP_PKEY_get_bits(key) + 1) / 2;
    enum lk_rsa_weakness weakness = LK_RSA_LACKS_PARTS;
    if (difference != NULL && EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_D, &d)
        && EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_FACTOR1, &p)
        && EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_FACTOR2, &q) && BN_sub(difference, p, q)) {
        if (EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_FACTOR3, &third)) {
            weakness = LK_RSA_MORE_PRIMES;
        } else if (BN_num_bits(p) < half - 16 || BN_num_bits(q) < half - 16 || BN_num_bits(difference) <= half - 100) {
            weakness = LK_RSA_PRIMES;
        } else if (BN_num_bits(d) <= half) {
            weakness = LK_RSA_EXPONENT;
        } else {
            weakness = LK_RSA_SOUND;
        }
    }
    BN_clear_free(d);
    BN_clear_free(p);
    BN_clear_free(q);
    BN_clear_free(third);
    BN_clear_free(difference);
    return weakness;
}
