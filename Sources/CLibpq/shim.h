#pragma once

#include <libpq-fe.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

// Character macros, which Swift does not import.
enum {
    LK_DIAG_SEVERITY = PG_DIAG_SEVERITY_NONLOCALIZED,
    LK_DIAG_SQLSTATE = PG_DIAG_SQLSTATE,
    LK_DIAG_MESSAGE_PRIMARY = PG_DIAG_MESSAGE_PRIMARY,
    LK_DIAG_CONSTRAINT_NAME = PG_DIAG_CONSTRAINT_NAME,
};

// EPOLL_* are enumerators of an anonymous enum in C and come as different integer types; one type here.
static const unsigned int LK_EPOLLIN = EPOLLIN;
static const unsigned int LK_EPOLLOUT = EPOLLOUT;
