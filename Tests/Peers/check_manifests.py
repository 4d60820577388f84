"""Looks at Kubernetes manifests: that parts fit together, and that pods pass the restricted Pod Security Standard.
Prints what is wrong, one line each; with --config, the configuration that the ConfigMap holds."""
import glob, sys, yaml

folder = sys.argv[1]
things = {}
for path in sorted(glob.glob(folder + "/*.yaml")):
    for document in yaml.safe_load_all(open(path)):
        things[document["kind"]] = document
if "--config" in sys.argv:
    print(things["ConfigMap"]["data"]["everyhop.toml"])
    sys.exit()
wrong = []


def expect(condition, what):
    if not condition:
        wrong.append(what)


kinds = {"ConfigMap", "Deployment", "Service", "PodDisruptionBudget", "HorizontalPodAutoscaler", "NetworkPolicy"}
expect(set(things) == kinds, f"kinds: {sorted(things)}")
for kind, thing in things.items():
    expect(thing["metadata"].get("namespace") == "everyhop", f"{kind}: namespace")
deployment = things["Deployment"]["spec"]
template = deployment["template"]
labels = template["metadata"]["labels"]
pod = template["spec"]
container = pod["containers"][0]


def matches(selector):
    return bool(selector) and selector.items() <= labels.items()


expect(matches(deployment["selector"]["matchLabels"]), "Deployment: selector")
expect(matches(things["Service"]["spec"]["selector"]), "Service: selector")
expect(matches(things["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"]), "PodDisruptionBudget: selector")
expect(matches(things["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"]), "NetworkPolicy: selector")
expect(things["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"] == "everyhop", "HorizontalPodAutoscaler: target")
ports = {port["name"]: port["containerPort"] for port in container["ports"]}
for port in things["Service"]["spec"]["ports"]:
    expect(port["targetPort"] in ports, f"Service: port {port['targetPort']}")
for rule in things["NetworkPolicy"]["spec"]["ingress"]:
    for port in rule["ports"]:
        expect(port["port"] in ports, f"NetworkPolicy: port {port['port']}")
expect(all(port >= 1024 for port in ports.values()), "a port needs a capability")
volumes = {volume["name"]: volume for volume in pod["volumes"]}
mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
expect(set(volumes) == set(mounts), "volumes and mounts differ")
expect(not any("subPath" in mount for mount in mounts.values()), "what is mounted with subPath never changes")
expect(volumes["config"]["configMap"]["name"] == things["ConfigMap"]["metadata"]["name"], "ConfigMap: name")
for name in ("portal", "tickets", "trust", "config"):
    expect(mounts[name].get("readOnly") is True, f"{name} can be written")
# Restricted (the Pod Security Standards of Kubernetes).
context, inner = pod["securityContext"], container["securityContext"]
expect(context["runAsNonRoot"] and context["runAsUser"] > 0, "runs as root")
expect(context["seccompProfile"]["type"] in ("RuntimeDefault", "Localhost"), "no seccomp profile")
expect(inner["allowPrivilegeEscalation"] is False, "may gain privileges")
expect(inner["capabilities"] == {"drop": ["ALL"]}, "has capabilities")
expect(inner["readOnlyRootFilesystem"] is True, "root can be written")
expect(not any(pod.get(key) for key in ("hostNetwork", "hostPID", "hostIPC")), "shares the host's namespaces")
allowed = {"configMap", "secret", "emptyDir", "projected", "csi", "downwardAPI", "persistentVolumeClaim", "ephemeral"}
for volume in pod["volumes"]:
    expect(set(volume) - {"name"} <= allowed, f"volume {volume['name']}")
expect(pod["automountServiceAccountToken"] is False, "has a token of the cluster")
for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
    expect(container[probe]["exec"]["command"][:2] == ["/usr/bin/everyhop", "health"], probe)
expect("--live" in container["livenessProbe"]["exec"]["command"], "servers that fail would end the pod")
expect("--live" not in container["readinessProbe"]["exec"]["command"], "is ready without a server")
drain = 45 + 10
expect(pod["terminationGracePeriodSeconds"] > drain, "is killed before it has drained")
print("\n".join(wrong), end="")
