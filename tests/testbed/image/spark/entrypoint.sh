#!/bin/bash
# The image's entrypoint, to the contract that Spark on Kubernetes has with its images:
# the first argument is `driver` or `executor`, the rest comes from arguments and from the
# environment that Spark writes into the pod. Anything else is run as given.
set -euo pipefail

: "${SPARK_HOME:=/opt/spark}"
export SPARK_HOME

# spark_command COMMAND...: becomes COMMAND under tini, as the user spark when started as root.
spark_command() {
	if [[ $(id -u) == 0 ]]; then
		export HOME=/opt/spark/work-dir
		exec setpriv --reuid=spark --regid=spark --init-groups tini -s -- "$@"
	fi
	name_this_user
	exec tini -s -- "$@"
}

# name_this_user: gives a user without a passwd entry (runAsUser of the pod) a name:
# Hadoop cannot log in without one.
name_this_user() {
	local library
	getent passwd "$(id -u)" >/dev/null && return
	library=$(find /usr/lib -name libnss_wrapper.so -print -quit)
	NSS_WRAPPER_PASSWD=$(mktemp)
	NSS_WRAPPER_GROUP=/etc/group
	printf '%s:x:%s:%s::%s:/bin/false\n' "${SPARK_USER:-spark}" "$(id -u)" "$(id -g)" "$SPARK_HOME/work-dir" \
		>"$NSS_WRAPPER_PASSWD"
	export LD_PRELOAD=$library NSS_WRAPPER_PASSWD NSS_WRAPPER_GROUP
}

# class_path: the jars, behind the configuration that Spark mounted.
class_path() {
	local path="${SPARK_CLASSPATH:+$SPARK_CLASSPATH:}$SPARK_HOME/jars/*"
	path+="${SPARK_EXTRA_CLASSPATH:+:$SPARK_EXTRA_CLASSPATH}"
	path="${HADOOP_CONF_DIR:+$HADOOP_CONF_DIR:}$path"
	printf '%s:%s:%s\n' "${SPARK_CONF_DIR:-$SPARK_HOME/conf}" "$path" "$PWD"
}

driver() {
	spark_command "$SPARK_HOME/bin/spark-submit" \
		--conf "spark.driver.bindAddress=${SPARK_DRIVER_BIND_ADDRESS:?is not set}" \
		--conf "spark.executorEnv.SPARK_DRIVER_POD_IP=$SPARK_DRIVER_BIND_ADDRESS" \
		--deploy-mode client \
		"$@"
}

executor() {
	local name
	local -a options=()
	# SPARK_JAVA_OPT_0, _1 … in the order of their numbers.
	while read -r name; do
		[[ -z $name ]] || options+=("${!name}")
	done < <(compgen -A variable SPARK_JAVA_OPT_ | sort -t _ -k 4 -n)
	spark_command "${JAVA_HOME:+$JAVA_HOME/bin/}java" "${options[@]}" \
		"-Xms${SPARK_EXECUTOR_MEMORY:?is not set}" "-Xmx$SPARK_EXECUTOR_MEMORY" \
		-cp "$(class_path)" \
		org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend \
		--driver-url "${SPARK_DRIVER_URL:?is not set}" \
		--executor-id "${SPARK_EXECUTOR_ID:?is not set}" \
		--cores "${SPARK_EXECUTOR_CORES:?is not set}" \
		--app-id "${SPARK_APPLICATION_ID:?is not set}" \
		--hostname "${SPARK_EXECUTOR_POD_IP:?is not set}" \
		--resourceProfileId "${SPARK_RESOURCE_PROFILE_ID:?is not set}" \
		--podName "${SPARK_EXECUTOR_POD_NAME:?is not set}"
}

case ${1-} in
driver)
	shift
	driver "$@"
	;;
executor) executor ;;
'') exec bash ;;
*) exec "$@" ;;
esac
