// The peer of scripts/bench on Node: @octokit/webhooks, which verifies and stores nothing.
// Arguments: the folder with its node_modules, the secret.
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [, , folder, secret] = process.argv;
const installed = createRequire(pathToFileURL(`${folder}/package.json`));
let octokit;
try {
  octokit = await import(pathToFileURL(installed.resolve("@octokit/webhooks")));
} catch {
  octokit = await import(pathToFileURL(`${folder}/node_modules/@octokit/webhooks/dist-bundle/index.js`));
}
const { Webhooks, createNodeMiddleware } = octokit;
const webhooks = new Webhooks({ secret });
webhooks.on("check_run.completed", () => {});
const middleware = createNodeMiddleware(webhooks, { path: "/webhooks/github" });
// It lets a request for another path hang.
const server = createServer((request, response) =>
  request.url === "/webhooks/github" ? middleware(request, response) : response.writeHead(404).end());
server.listen(0, "127.0.0.1", () => console.log(`listening on http://127.0.0.1:${server.address().port}`));
