"""Writes /etc/sandbox/capabilities.json: what the parent says of itself, and what image.yaml adds.

Usage: manifest.py IMAGE_YAML PARENT
"""
import json
import os
import sys

import yaml

MANIFEST = "/etc/sandbox/capabilities.json"

with open(sys.argv[1]) as f:
    image = yaml.safe_load(f)
with open(MANIFEST) as f:
    manifest = json.load(f)
for field in ("name", "version", "tier", "description", "contract"):
    manifest[field] = image[field]
for field in ("capabilities", "tools", "languages", "tasks"):
    manifest[field] = sorted({*manifest[field], *image[field]})
manifest["parent_image"] = sys.argv[2]
manifest["default_access_mode"] = image["access"]
manifest["resource_limits"] = image["limits"]
manifest["environment"] |= image["environment"]
with open(MANIFEST + ".new", "w") as f:
    json.dump(manifest, f, indent=2)
    f.write("\n")
os.chmod(MANIFEST + ".new", 0o644)
os.replace(MANIFEST + ".new", MANIFEST)
