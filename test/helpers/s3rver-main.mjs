// The S3 server from npm, for machines without Go: node s3rver-main.mjs PORT DIRECTORY ACCESS_KEY SECRET_KEY
import process from "node:process";
import S3rver from "s3rver";
import { DUMMY_ACCOUNT } from "s3rver/lib/models/account.js";

const [port, directory, accessKey, secretKey] = process.argv.slice(2);
// s3rver knows one account; give it the keys that the test was told.
DUMMY_ACCOUNT.createKeyPair(accessKey, secretKey);
const server = new S3rver({ address: "127.0.0.1", port: Number(port), silent: true, directory, resetOnClose: false });
await server.run();
