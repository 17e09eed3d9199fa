"""Look up the installed dependencies among the known vulnerabilities; skip where none can be.

Fails for a vulnerability that a newer release mends, and only names one that none does, as
there is nothing to upgrade to. pip-audit itself counts packages that its service does not
answer for as free of vulnerabilities, which is said here.
"""

import json
import subprocess
import sys


def main():
    command = [sys.executable, "-m", "pip_audit", "--format=json", "--progress-spinner=off"]
    audit = subprocess.run([*command, *sys.argv[1:]], capture_output=True, text=True)
    if not audit.stdout.startswith("{"):
        reason = audit.stderr.strip().splitlines()[-1]
        if "ConnectionError" not in reason and "Timeout" not in reason:
            sys.exit(f"pip-audit failed:\n{audit.stderr}")
        print(f"audit skipped: the vulnerability service cannot be reached ({reason})")
        return
    packages = json.loads(audit.stdout)["dependencies"]
    audited = [package for package in packages if "skip_reason" not in package]
    if not audited:
        print(
            f"audit skipped: the vulnerability service knows none of {len(packages)} packages "
            f"({packages[0]['skip_reason']})"
        )
        return
    found = [(package, vuln) for package in audited for vuln in package["vulns"]]
    for package, vuln in found:
        mended = ", ".join(vuln["fix_versions"]) or "no release yet"
        print(f"{package['name']} {package['version']}: {vuln['id']}, mended in {mended}")
    print(f"audited {len(audited)} of {len(packages)} packages: {len(found)} vulnerabilities")
    sys.exit(any(vuln["fix_versions"] for _, vuln in found))


if __name__ == "__main__":
    main()
