# What this image says of itself beyond what its parent says.
.name = "figlet"
| .version = "1.0.0"
| .tier = "variant"
| .description = "Core with large letters."
| .parent_image = "matrx-sandbox:latest"
| .tools = (.tools + ["figlet"] | sort)
