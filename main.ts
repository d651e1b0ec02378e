import { json } from "node:stream/consumers";
void json;
