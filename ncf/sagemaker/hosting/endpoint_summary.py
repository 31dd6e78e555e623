"""Summary of a deployment in Markdown, with a sample request for the shell and for Python."""

from __future__ import annotations

from collections.abc import Mapping

from ncf.reports.markdown import link, table


def summary(endpoint: str, rows: Mapping[str, str], body: str, region: str, url: str, target: str) -> str:
    """The summary.

    Args:
        endpoint: name of the endpoint.
        rows: of the table.
        body: of the sample request.
        region: of the endpoint.
        url: of the endpoint in SageMaker's console; '' for none.
        target: ``TargetModel`` on a multi-model endpoint; '' for others.
    """
    option = f" --target-model {target}" if target else ""
    argument = f", TargetModel={target!r}" if target else ""

    return f"""# {link(endpoint, url)}

{table(("", ""), list(rows.items()))}

Sample request in a shell:

```sh
aws sagemaker-runtime invoke-endpoint --region {region} --endpoint-name {endpoint}{option} \\
    --content-type application/json --cli-binary-format raw-in-base64-out \\
    --body '{body.replace("'", "'" + chr(92) + "''")}' /dev/stdout
```

and in Python:

```python
import boto3, json

runtime = boto3.client("sagemaker-runtime", region_name={region!r})
body = {body!r}
answer = runtime.invoke_endpoint(EndpointName={endpoint!r}{argument}, ContentType="application/json", Body=body)
print(json.load(answer["Body"]))
```
"""
