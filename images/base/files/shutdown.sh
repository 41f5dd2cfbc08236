#!/bin/sh
kill -s TERM 1
