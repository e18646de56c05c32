"""Becomes a command that may ask the kernel for no more than a systemd unit lets its service ask.

    confined.py UNIT COMMAND [ARGUMENT …]

What the unit says by SystemCallFilter=, RestrictAddressFamilies= and MemoryDenyWriteExecute= is loaded as a filter that
nothing in the process takes off again, as systemd.exec(5) tells. The groups are those of the systemd that is installed
(`systemd-analyze syscall-filter`), and libseccomp, which systemd is linked with, makes the filter. Whatever
SystemCallErrorNumber= says, a call beyond the list ends the process (SIGSYS): an error might be overlooked.
"""

import ctypes
import errno
import os
import socket
import subprocess
import sys

# seccomp.h, sys/mman.h
KILL_PROCESS, ALLOW, ERRNO = 0x80000000, 0x7FFF0000, 0x00050000
EQUAL, MASKED_EQUAL = 4, 7
WRITE, EXECUTE = 2, 4


class Comparison(ctypes.Structure):
    """An argument of a system call, compared: `struct scmp_arg_cmp`."""

    _fields_ = [("argument", ctypes.c_uint), ("operator", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


class Unit:
    def __init__(self, path):
        with open(path) as file:
            self.lines = [line.strip().split("=", 1) for line in file if "=" in line and not line.startswith("#")]
        self.groups = self.known_groups()

    def values(self, name):
        return [value for key, value in self.lines if key == name]

    @staticmethod
    def known_groups():
        """The entries of each group: system calls, and other groups."""
        listed = subprocess.run(
            ["systemd-analyze", "syscall-filter", "--no-pager"], capture_output=True, text=True, check=True)
        found, entries = {}, []
        for line in listed.stdout.splitlines():
            word = line.strip()
            if not line.startswith(" "):
                entries = found.setdefault(word, [])
            elif not word.startswith("#"):
                entries.append(word)
        return found

    def calls(self, name):
        return set().union(*map(self.calls, self.groups[name])) if name.startswith("@") else {name}

    def allowed(self):
        """The first line makes it a list of what is allowed, @default always among it; later ones add and take away."""
        first, *others = self.values("SystemCallFilter")
        assert not first.startswith("~"), "the unit does not begin with what is allowed"
        names = self.calls("@default").union(*map(self.calls, first.split()))
        for value in others:
            listed = set().union(*map(self.calls, value.removeprefix("~").split()))
            names = names - listed if value.startswith("~") else names | listed
        return names


class Filter:
    def __init__(self):
        self.library = ctypes.CDLL("libseccomp.so.2")
        self.library.seccomp_init.restype = ctypes.c_void_p
        self.context = ctypes.c_void_p(self.library.seccomp_init(ctypes.c_uint32(KILL_PROCESS)))
        self.count = 0

    def add(self, action, name, *comparisons):
        number = self.library.seccomp_syscall_resolve_name(name.encode())
        # Below 0: not a call of this architecture, or newer than this libseccomp.
        if number >= 0:
            array = (Comparison * len(comparisons))(*comparisons)
            failed = self.library.seccomp_rule_add_array(
                self.context, ctypes.c_uint32(action), number, ctypes.c_uint(len(comparisons)), array)
            assert failed == 0, f"{name}: {failed}"
            self.count += 1

    def load(self):
        assert self.count > 200, f"only {self.count} system calls are known here"
        assert self.library.seccomp_load(self.context) == 0


def main():
    path, *command = sys.argv[1:]
    unit, rules = Unit(path), Filter()
    families = {int(getattr(socket, name)) for value in unit.values("RestrictAddressFamilies") for name in value.split()}
    for name in sorted(unit.allowed()):
        if name == "socket" and families:
            for family in range(64):
                action = ALLOW if family in families else ERRNO | errno.EAFNOSUPPORT
                rules.add(action, name, Comparison(0, EQUAL, family, 0))
        elif name == "mmap" and unit.values("MemoryDenyWriteExecute") == ["yes"]:
            for protection in [0, WRITE, EXECUTE]:
                rules.add(ALLOW, name, Comparison(2, MASKED_EQUAL, WRITE | EXECUTE, protection))
        elif name == "mprotect" and unit.values("MemoryDenyWriteExecute") == ["yes"]:
            rules.add(ALLOW, name, Comparison(2, MASKED_EQUAL, EXECUTE, 0))
        else:
            rules.add(ALLOW, name)
    rules.load()
    os.execv(command[0], command)


main()
