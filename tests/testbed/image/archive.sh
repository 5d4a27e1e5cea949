# shellcheck shell=bash
# Helpers that write container images without a container engine: an image is a tar
# archive in the form of `docker save`, which docker, podman and `ctr` all load.
# Sourced after lib.sh by the build scripts beside it.

# machine_architecture: this machine's architecture as images name it (amd64, arm64).
machine_architecture() {
	case $(uname -m) in
	x86_64) printf 'amd64\n' ;;
	aarch64) printf 'arm64\n' ;;
	*) die "no image can be built for $(uname -m): only x86_64 and aarch64 are known" ;;
	esac
}

# layer FOLDER OUT.tar: packs FOLDER, which becomes / in the container, as one layer.
layer() {
	tar --create --numeric-owner --sort=name --directory "$1" --file "$2" .
}

# write_archive OUT.tar LAYER... -- NAME CONFIG [NAME CONFIG]...: writes images that
# share their LAYERs (files made by `layer`). NAME is the image's name with its tag;
# CONFIG is a JSON object with what the image's config says (Env, Entrypoint, Cmd …).
write_archive() {
	local out=$1 folder layer_file hash name diff_ids='' layer_list='' manifest='' config_file
	shift
	folder=$(mktemp -d "$out.XXXXXX")
	while [[ $1 != -- ]]; do
		layer_file=$1
		hash=$(sha256sum <"$layer_file" | cut -d ' ' -f 1)
		ln "$layer_file" "$folder/$hash.tar" 2>/dev/null || cp "$layer_file" "$folder/$hash.tar"
		diff_ids+=",\"sha256:$hash\""
		layer_list+=",\"$hash.tar\""
		shift
	done
	shift
	while (($#)); do
		name=$1
		printf '{"architecture":"%s","os":"linux","config":%s,"rootfs":{"type":"layers","diff_ids":[%s]}}' \
			"$(machine_architecture)" "$2" "${diff_ids#,}" >"$folder/config"
		config_file=$(sha256sum <"$folder/config" | cut -d ' ' -f 1).json
		mv "$folder/config" "$folder/$config_file"
		manifest+=",{\"Config\":\"$config_file\",\"RepoTags\":[\"$name\"],\"Layers\":[${layer_list#,}]}"
		shift 2
	done
	printf '[%s]\n' "${manifest#,}" >"$folder/manifest.json"
	# Loaders read the manifest first; in front they find it at once.
	(cd "$folder" && find . -name '*.*' ! -name manifest.json -printf '%P\0' |
		tar --create --file "$out" --null manifest.json --files-from -)
	rm -r "$folder"
}
