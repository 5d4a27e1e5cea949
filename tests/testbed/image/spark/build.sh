#!/usr/bin/env bash
# Makes the testbed's Spark image and prints the path of the archive that holds it:
#
#   localhost/virtual-node/spark:4.3.0
#
# Debian's OpenJDK 17 and Python, Spark from PyPI's pyspark, the few jars that s3a needs
# from Maven Central, and an entrypoint of our own. Each part is cached by itself.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/testbed/lib.sh
source "$HERE/../../lib.sh"
# shellcheck source=tests/testbed/image/archive.sh
source "$HERE/../archive.sh"

SUITE=bookworm
MIRROR=${VN_DEBIAN_MIRROR:-http://deb.debian.org/debian}
# libnss-wrapper names users that have no passwd entry, procps serves decom.sh.
PACKAGES=openjdk-17-jre-headless,python3,tini,procps,libnss-wrapper
SPARK_VERSION=$(sed -n 's/^pyspark==\([0-9.]*\).*/\1/p' "$HERE/requirements.txt")
IMAGE=localhost/virtual-node/spark:$SPARK_VERSION

# debian_layer: fills $CACHED_OUT with debian.tar, a small Debian with Java and Python.
debian_layer() {
	local root=$CACHED_OUT/root
	install_command debootstrap debootstrap
	debootstrap --variant=minbase --include="$PACKAGES" "$SUITE" "$root" "$MIRROR"

	rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/var/log/* \
		"$root"/usr/share/{man,info,lintian,bash-completion,fonts} "${root:?}"/dev/*
	find "$root/usr/share/doc" -type f ! -name copyright -delete
	find "$root/usr/share/locale" -mindepth 1 -maxdepth 1 -type d -exec rm -r {} +

	# The official image's user. Its home is the folder it may write to.
	chroot "$root" groupadd --system --gid 185 spark
	chroot "$root" useradd --system --uid 185 --gid spark --home-dir /opt/spark/work-dir --no-create-home spark
	ln -s "$(basename "$(echo "$root"/usr/lib/jvm/java-17-openjdk-*)")" "$root/usr/lib/jvm/default"

	layer "$root" "$CACHED_OUT/debian.tar"
	rm -rf "$root"
}

# pyspark: fills $CACHED_OUT with pyspark's source distribution, which is where the jars are.
pyspark() {
	install_command pip3 python3-pip
	# pip checks the hash, and prepares the metadata of the distribution.
	python3 -m pip download --no-deps --no-binary pyspark --require-hashes \
		--dest "$CACHED_OUT" --requirement "$HERE/requirements.txt"
}

# s3a_jars: fills $CACHED_OUT with the jars that pom.xml names and what they need.
s3a_jars() {
	install_command mvn maven
	mvn --batch-mode --no-transfer-progress --file "$HERE/pom.xml" dependency:copy-dependencies \
		-DoutputDirectory="$CACHED_OUT" -DincludeScope=runtime
}

# jar_name FILE: the name of a jar without its version: netty-common-4.1.126.Final.jar is netty-common.
jar_name() {
	basename "$1" | sed 's/-[0-9][^-]*\(-[0-9A-Za-z]*\)\?\.jar$//'
}

# spark_layer SDIST JARS: fills $CACHED_OUT with spark.tar: /opt/spark.
spark_layer() {
	local root=$CACHED_OUT/root dist=$CACHED_OUT/dist jar hadoop
	local -A present=()
	mkdir -p "$dist" "$root/opt/spark/python/lib" "$root/opt/spark/work-dir"
	tar --extract --file "$1" --directory "$dist" --strip-components 1 --no-same-owner
	mv "$dist"/deps/{jars,bin,sbin,examples,licenses} "$root/opt/spark/"
	mv "$dist"/{LICENSE,NOTICE} "$root/opt/spark/"
	mv "$dist/lib"/*.zip "$root/opt/spark/python/lib/"
	mv "$dist/pyspark" "$root/opt/spark/python/"
	rm -f "$root/opt/spark/bin"/*.cmd
	chmod 755 "$root/opt/spark/bin"/* "$root/opt/spark/sbin"/*

	# s3a is one with Hadoop: another version fails at run time, and late.
	hadoop=$(basename "$root"/opt/spark/jars/hadoop-client-api-*.jar)
	[[ -f $2/hadoop-aws-${hadoop#hadoop-client-api-} ]] ||
		die "pyspark $SPARK_VERSION has $hadoop: put that version of hadoop-aws into pom.xml"
	# Where Spark has a jar, its version stays: two on one class path give either.
	for jar in "$root"/opt/spark/jars/*.jar; do
		present[$(jar_name "$jar")]=1
	done
	for jar in "$2"/*.jar; do
		if [[ -z ${present[$(jar_name "$jar")]-} ]]; then
			install -m 644 "$jar" "$root/opt/spark/jars/"
		else
			echo "Spark has its own $(jar_name "$jar")"
		fi
	done

	install -m 755 "$HERE/entrypoint.sh" "$HERE/decom.sh" "$root/opt/"
	chown -R 0:0 "$root"
	chown 185:185 "$root/opt/spark/work-dir"
	layer "$root" "$CACHED_OUT/spark.tar"
	rm -rf "$root" "$dist"
}

# image DEBIAN SPARK: fills $CACHED_OUT with spark.tar, the archive.
image() {
	local env='"PATH=/opt/spark/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"'
	env+=',"SPARK_HOME=/opt/spark","JAVA_HOME=/usr/lib/jvm/default","LANG=C.UTF-8"'
	write_archive "$CACHED_OUT/spark.tar" "$1/debian.tar" "$2/spark.tar" -- \
		"$IMAGE" "{\"Env\":[$env],\"Entrypoint\":[\"/opt/entrypoint.sh\"],\"WorkingDir\":\"/opt/spark/work-dir\"}"
}

need_root 'making the Spark image'
need_command python3 'the testbed runs small scripts in it'

debian=$(cached --about '90 s' --text 'making a Debian with Java and Python' \
	--key "$(machine_architecture) $SUITE $PACKAGES $(declare -f debian_layer)" spark-debian -- debian_layer)
sdist=$(cached --about '40 s, 450 MB' --text 'fetching pyspark' \
	spark-pyspark "$HERE/requirements.txt" -- pyspark)
jars=$(cached --about '30 s' --text 'fetching the jars for s3a' \
	spark-s3a "$HERE/pom.xml" -- s3a_jars)
spark=$(cached --about '30 s' --text 'laying out Spark' --key "$(declare -f spark_layer jar_name)" \
	spark-layer "$HERE/requirements.txt" "$HERE/pom.xml" "$HERE/entrypoint.sh" "$HERE/decom.sh" \
	-- spark_layer "$sdist/pyspark-$SPARK_VERSION.tar.gz" "$jars")
entry=$(cached --about '20 s' --text 'packing the Spark image' --key "$(declare -f image)" \
	spark-image "$HERE/../archive.sh" -- image "$debian" "$spark")
printf '%s/spark.tar\n' "$entry"
