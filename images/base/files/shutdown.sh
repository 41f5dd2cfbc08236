#!/bin/sh
exec /usr/local/bin/sandbox-init stop "$@"
