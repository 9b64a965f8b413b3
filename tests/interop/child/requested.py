"""requested.py URL PROXY CA: one GET with requests; PROXY empty: what the environment says."""

import sys

import requests

url, proxy, ca = sys.argv[1:]
try:
    r = requests.get(url, proxies={"http": proxy, "https": proxy} if proxy else None, verify=ca, timeout=30)
    print(r.status_code, r.text)
except requests.RequestException as e:
    print("REFUSED", e)
