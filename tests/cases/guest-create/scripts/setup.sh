#!/bin/sh -e
echo "set up"
