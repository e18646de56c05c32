#pragma once

/* Types and constants of PKCS #11 2.40, from Debian's libp11-kit-dev; nothing of p11-kit's is linked. */
#include <p11-kit-1/p11-kit/pkcs11.h>

#include <dlfcn.h>
#include <string.h>

/*
 * What Swift cannot write well: templates of attributes, which are arrays of pointers to values of different types. Each
 * returns the module's own CK_RV. Only the room PKCS11 calls these.
 */

typedef const CK_FUNCTION_LIST *lk_module;

/* Loads a module and initialises it for many threads, once for the life of the process: it is never unloaded. */
static inline CK_RV lk_module_load(const char *path, lk_module *module) {
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) return CKR_LIBRARY_LOAD_FAILED;
    CK_C_GetFunctionList get_functions = (CK_C_GetFunctionList)dlsym(library, "C_GetFunctionList");
    CK_FUNCTION_LIST *functions = NULL;
    if (get_functions == NULL || get_functions(&functions) != CKR_OK || functions == NULL) {
        return CKR_LIBRARY_LOAD_FAILED;
    }
    *module = functions;
    return CKR_OK;
}

static inline CK_RV lk_module_initialize(lk_module module) {
    CK_C_INITIALIZE_ARGS arguments = {0};
    arguments.flags = CKF_OS_LOCKING_OK;
    CK_RV result = module->C_Initialize(&arguments);
    return result == CKR_CRYPTOKI_ALREADY_INITIALIZED ? CKR_OK : result;
}

/* The slot whose token bears the label, which is padded with spaces to 32 bytes. `matches` of them do. */
static inline CK_RV lk_find_slot(lk_module module, const unsigned char *label, CK_SLOT_ID *slot, size_t *matches) {
    CK_SLOT_ID slots[256];
    CK_ULONG count = sizeof slots / sizeof slots[0];
    CK_RV result = module->C_GetSlotList(CK_TRUE, slots, &count);
    *matches = 0;
    for (CK_ULONG number = 0; result == CKR_OK && number < count; number++) {
        CK_TOKEN_INFO token;
        if (module->C_GetTokenInfo(slots[number], &token) != CKR_OK) continue;
        if (memcmp(token.label, label, sizeof token.label) != 0) continue;
        *slot = slots[number];
        *matches += 1;
    }
    return result;
}

enum lk_session_use { LK_SIGNING, LK_CHANGING };

static inline CK_RV lk_open_session(
    lk_module module, CK_SLOT_ID slot, enum lk_session_use use, CK_SESSION_HANDLE *session
) {
    CK_FLAGS flags = CKF_SERIAL_SESSION | (use == LK_CHANGING ? CKF_RW_SESSION : 0);
    return module->C_OpenSession(slot, flags, NULL, NULL, session);
}

static inline CK_RV lk_log_in(lk_module module, CK_SESSION_HANDLE session, const void *pin, size_t count) {
    CK_RV result = module->C_Login(session, CKU_USER, (unsigned char *)pin, count);
    return result == CKR_USER_ALREADY_LOGGED_IN ? CKR_OK : result;
}

#define LK_ATTRIBUTE(type, value) {type, (void *)&(value), sizeof (value)}

/* A key pair that is made in the token, stays in it, and signs; both halves bear `id`. `bits` of 0: EC on P-256. */
static inline CK_RV lk_generate_key_pair(
    lk_module module, CK_SESSION_HANDLE session, CK_ULONG bits, const void *id, size_t id_count,
    CK_OBJECT_HANDLE *public_half, CK_OBJECT_HANDLE *private_half
) {
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    unsigned char exponent[] = {1, 0, 1};
    /* OBJECT IDENTIFIER 1.2.840.10045.3.1.7 (RFC 5480 section 2.1.1.1). */
    unsigned char p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
    CK_ATTRIBUTE private_template[] = {
        LK_ATTRIBUTE(CKA_TOKEN, yes),       LK_ATTRIBUTE(CKA_PRIVATE, yes), LK_ATTRIBUTE(CKA_SENSITIVE, yes),
        LK_ATTRIBUTE(CKA_EXTRACTABLE, no),  LK_ATTRIBUTE(CKA_SIGN, yes),    {CKA_ID, (void *)id, id_count},
        LK_ATTRIBUTE(CKA_DECRYPT, no),      LK_ATTRIBUTE(CKA_UNWRAP, no),
    };
    CK_ATTRIBUTE rsa_template[] = {
        LK_ATTRIBUTE(CKA_TOKEN, yes), LK_ATTRIBUTE(CKA_VERIFY, yes), LK_ATTRIBUTE(CKA_MODULUS_BITS, bits),
        LK_ATTRIBUTE(CKA_PUBLIC_EXPONENT, exponent), {CKA_ID, (void *)id, id_count},
    };
    CK_ATTRIBUTE ec_template[] = {
        LK_ATTRIBUTE(CKA_TOKEN, yes), LK_ATTRIBUTE(CKA_VERIFY, yes), LK_ATTRIBUTE(CKA_EC_PARAMS, p256),
        {CKA_ID, (void *)id, id_count},
    };
    int is_rsa = bits > 0;
    /* EC keys neither decrypt nor unwrap, and some tokens refuse to be told so. */
    CK_ULONG private_count = is_rsa ? 8 : 6;
    CK_MECHANISM mechanism = {is_rsa ? CKM_RSA_PKCS_KEY_PAIR_GEN : CKM_EC_KEY_PAIR_GEN, NULL, 0};
    return module->C_GenerateKeyPair(
        session, &mechanism, is_rsa ? rsa_template : ec_template, is_rsa ? 5 : 4, private_template, private_count,
        public_half, private_half);
}

static inline CK_RV lk_set_id(
    lk_module module, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, const void *id, size_t count
) {
    CK_ATTRIBUTE attribute = {CKA_ID, (void *)id, count};
    return module->C_SetAttributeValue(session, object, &attribute, 1);
}

enum lk_number { LK_MODULUS, LK_EXPONENT, LK_POINT };

/* Writes a number of a public half to `value` of `*count` bytes, and how many it has to `*count`. */
static inline CK_RV lk_read_number(
    lk_module module, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, enum lk_number number, void *value,
    size_t *count
) {
    CK_ATTRIBUTE_TYPE types[] = {CKA_MODULUS, CKA_PUBLIC_EXPONENT, CKA_EC_POINT};
    CK_ATTRIBUTE attribute = {types[number], value, *count};
    CK_RV result = module->C_GetAttributeValue(session, object, &attribute, 1);
    *count = result == CKR_OK ? attribute.ulValueLen : 0;
    return result;
}

enum lk_half { LK_PUBLIC, LK_PRIVATE };

/* The objects with this CKA_ID: at most two of `count` are told, more than one is a mistake. */
static inline CK_RV lk_find(
    lk_module module, CK_SESSION_HANDLE session, enum lk_half half, const void *id, size_t id_count,
    CK_OBJECT_HANDLE *object, size_t *count
) {
    CK_OBJECT_CLASS class = half == LK_PRIVATE ? CKO_PRIVATE_KEY : CKO_PUBLIC_KEY;
    CK_ATTRIBUTE template[] = {LK_ATTRIBUTE(CKA_CLASS, class), {CKA_ID, (void *)id, id_count}};
    CK_OBJECT_HANDLE found[2];
    CK_ULONG found_count = 0;
    CK_RV result = module->C_FindObjectsInit(session, template, 2);
    if (result != CKR_OK) return result;
    result = module->C_FindObjects(session, found, 2, &found_count);
    module->C_FindObjectsFinal(session);
    *count = result == CKR_OK ? found_count : 0;
    if (*count > 0) *object = found[0];
    return result;
}

enum lk_mechanism { LK_RS256, LK_PS256, LK_ECDSA };

/* ECDSA signs a digest and gives r || s; the others take the message and hash it in the token. */
static inline CK_RV lk_sign(
    lk_module module, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key, enum lk_mechanism kind, const void *message,
    size_t message_count, void *signature, size_t *signature_count
) {
    CK_RSA_PKCS_PSS_PARAMS pss = {CKM_SHA256, CKG_MGF1_SHA256, 32};
    CK_MECHANISM mechanisms[] = {
        {CKM_SHA256_RSA_PKCS, NULL, 0}, {CKM_SHA256_RSA_PKCS_PSS, &pss, sizeof pss}, {CKM_ECDSA, NULL, 0},
    };
    CK_ULONG count = *signature_count;
    CK_RV result = module->C_SignInit(session, &mechanisms[kind], key);
    if (result == CKR_OK) {
        result = module->C_Sign(session, (unsigned char *)message, message_count, signature, &count);
    }
    *signature_count = result == CKR_OK ? count : 0;
    return result;
}
