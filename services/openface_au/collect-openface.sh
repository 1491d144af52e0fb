#!/bin/sh
# collect-openface.sh FOLDER: copies an installed OpenFace to FOLDER/openface, to be run on another Linux.
#   bin/   FeatureExtraction and, beside it, its models
#   lib/   the libraries it needs, without the C library: that of the other Linux is used (the same version, or newer)
# Ends with 1 if no OpenFace is installed. OPENFACE_BINARY names a binary that would not be found.
set -eu
out=$1
mkdir -p "$out"
binary=${OPENFACE_BINARY:-$(command -v FeatureExtraction || true)}
if [ -z "$binary" ]; then
  binary=$(find / \( -path /proc -o -path /sys -o -path "$out" \) -prune -o \
    -type f -name FeatureExtraction -perm -100 -print 2>/dev/null | head -n 1)
fi
[ -n "$binary" ] || {
  echo "collect-openface.sh: there is no FeatureExtraction in this image; set OPENFACE_IMAGE to one with OpenFace in it" \
    "(docs/models.md)" >&2
  exit 1
}
binary=$(readlink -f "$binary")
from=$(dirname "$binary")
mkdir -p "$out/openface/bin" "$out/openface/lib"
cp "$binary" "$out/openface/bin/"
# It looks for them beside the binary before it looks in the folder of `make install`, which will not exist over there.
for models in model AU_predictors classifiers; do
  for place in "$from" "$from/../etc/OpenFace"; do
    if [ -d "$place/$models" ]; then
      cp -RL "$place/$models" "$out/openface/bin/"
      break
    fi
  done
done
for licence in "$from"/*icense*.txt "$from"/../*icense*.txt "$from"/../../*icense*.txt; do
  if [ -f "$licence" ]; then cp "$licence" "$out/openface/"; fi
done
# a wrapper script has no libraries of its own
ldd "$binary" >"$out/needed" 2>/dev/null || true
if grep -q 'not found' "$out/needed"; then
  echo "collect-openface.sh: $binary does not run in its own image:" >&2
  grep 'not found' "$out/needed" >&2
  exit 1
fi
awk '$2 == "=>" && $3 ~ /^\// { print $3 }' "$out/needed" | while read -r library; do
  case $(basename "$library") in
  libc.so.* | libm.so.* | libpthread.so.* | libdl.so.* | librt.so.* | libresolv.so.* | libutil.so.*) ;;
  *) cp -L "$library" "$out/openface/lib/" ;;
  esac
done
rm "$out/needed"
chmod -R a+rX "$out/openface"
